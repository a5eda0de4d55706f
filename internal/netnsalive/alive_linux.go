// SPDX-License-Identifier: Apache-2.0

package netnsalive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
)

// initialPIDNamespace is the inode number of the first of all (PROC_PID_INIT_INO).
const initialPIDNamespace = 0xEFFFFFFC

// ErrUnseen is what Gone fails with where nothing can be told.
var ErrUnseen = errors.New("not all processes of this machine can be seen from this PID namespace")

// At returns the ID of the network namespace at a path, or the zero ID.
func At(path string) ID {
	inode := ns.InodeAt(path)
	if inode == 0 {
		return ID{}
	}
	return ID{inode, uniqueAt(path, inode)}
}

// uniqueAt returns what tells a namespace from all others, or 0 if the kernel does
// not, or another file is there by now.
func uniqueAt(path string, inode uint64) uint64 {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if unix.Fstat(fd, &stat) != nil || stat.Ino != inode {
		return 0
	}
	var id uint64
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.NS_GET_ID, uintptr(unsafe.Pointer(&id))); errno != 0 {
		return 0
	}
	return id
}

// ownMounts looks at what is mounted in our own mount namespace.
func (s *survey) ownMounts() error { return s.mounted("self") }

// everywhere looks at all processes of the machine.
func (s *survey) everywhere() error {
	var own unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &own); err != nil {
		return err
	}
	if own.Ino != initialPIDNamespace {
		return ErrUnseen
	}
	nsfs := uint64(own.Dev) // 32 bits on MIPS
	const patience = 50
	denied := map[string]int{}
	return each("/proc", func(name string) error {
		if _, err := strconv.Atoi(name); err != nil {
			return nil
		}
		err := s.process(name, nsfs)
		switch {
		case !errors.Is(err, fs.ErrPermission) || denied[name] == patience:
			return err
		case name == "1":
			return nil // where nobody may look at init: it is in no container
		}
		denied[name]++ // a child of such an init, until it has become another program
		return errLater
	})
}

// errLater is returned of what cannot be looked at yet.
var errLater = errors.New("look again in the next pass")

// each calls look for every name in a directory of /proc, and for those that come up
// meanwhile: what is looked for may be passed on to a child by a parent that ends.
// What ends while it is looked at, or has ended and waits for its parent, is no error.
func each(dir string, look func(name string) error) error {
	const passes = 100 // each is about what is new; only a bomb goes on forking
	seen := map[string]bool{}
	for range passes {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return ignoreEnded(err)
		}
		entries = slices.DeleteFunc(entries, func(entry fs.DirEntry) bool { return seen[entry.Name()] })
		if len(entries) == 0 {
			return nil
		}
		for _, entry := range entries {
			err := ignoreEnded(look(entry.Name()))
			if err != nil && !errors.Is(err, errLater) {
				return err
			}
			seen[entry.Name()] = err == nil
		}
	}
	return fmt.Errorf("the content of %s changes too fast to be looked at", dir)
}

func ignoreEnded(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// process looks at one process. nsfs is the device of the file system that namespaces
// are on.
func (s *survey) process(pid string, nsfs uint64) error {
	threads, descriptors := filepath.Join("/proc", pid, "task"), filepath.Join("/proc", pid, "fd")
	return errors.Join(
		each(threads, func(name string) error { return s.file(filepath.Join(threads, name, "ns/net"), nsfs) }),
		each(descriptors, func(name string) error { return s.file(filepath.Join(descriptors, name), nsfs) }),
		ignoreEnded(s.mounted(pid)),
	)
}

// file notes the file that a link in /proc leads to, if it is a namespace that is
// asked for. What the link says would not tell: of a namespace that is mounted it is
// the path. No server is asked about a remote file, which might not answer.
func (s *survey) file(path string, nsfs uint64) error {
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &stat); err != nil {
		return err
	}
	if unix.Mkdev(stat.Dev_major, stat.Dev_minor) == nsfs && s.wanted[stat.Ino] {
		s.found(ID{stat.Ino, uniqueAt(path, stat.Ino)})
	}
	return nil
}

// mounted notes what is mounted where the process can see it, once for each view.
func (s *survey) mounted(pid string) error {
	before, err := viewOf(pid)
	if err != nil || s.viewsSeen[before] {
		return err
	}
	content, err := os.ReadFile(filepath.Join("/proc", pid, "mountinfo"))
	if err != nil {
		return fmt.Errorf("mounts of process %s: %w", pid, err)
	}
	for line := range strings.Lines(string(content)) {
		const root, mountPoint = 3, 4 // proc_pid_mountinfo(5)
		fields := strings.Fields(line)
		if len(fields) <= mountPoint {
			continue
		}
		if inode := ParseID(fields[root]).Inode; s.wanted[inode] {
			s.found(ID{inode, uniqueAt(filepath.Join("/proc", pid, "root")+unescape(fields[mountPoint]), inode)})
		}
	}
	after, err := viewOf(pid)
	s.viewsSeen[before] = err == nil && after == before
	return nil
}

// viewOf looks at the root itself, too: read by a process whose own root is another than
// its mount namespace's, both have the path "/".
func viewOf(pid string) (view, error) {
	namespace, err := os.Readlink(filepath.Join("/proc", pid, "ns/mnt"))
	if err != nil {
		return view{}, err
	}
	path := filepath.Join("/proc", pid, "root")
	root, err := os.Readlink(path)
	if err != nil {
		return view{}, err
	}
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_INO|unix.STATX_MNT_ID, &stat); err != nil {
		return view{}, err
	}
	return view{namespace, root, unix.Mkdev(stat.Dev_major, stat.Dev_minor), stat.Ino, stat.Mnt_id}, nil
}

// unescape returns a path that /proc has written without white space.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}
