// SPDX-License-Identifier: Apache-2.0

package netnsalive

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// initialPIDNamespace is the inode number of the first of all (PROC_PID_INIT_INO).
const initialPIDNamespace = 0xEFFFFFFC

// ErrUnseen is what Gone fails with where nothing can be told.
var ErrUnseen = errors.New("not all processes of this machine can be seen from this PID namespace")

// all returns the numbers of the network namespaces that exist, see Gone.
func all() (map[uint64]bool, error) {
	var own unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &own); err != nil {
		return nil, err
	}
	if own.Ino != initialPIDNamespace {
		return nil, ErrUnseen
	}
	found := survey{nsfs: uint64(own.Dev), live: map[uint64]bool{}, mounts: map[string]bool{}} // 32 bits on MIPS
	return found.live, each("/proc", func(name string) error {
		if _, err := strconv.Atoi(name); err != nil {
			return nil
		}
		err := found.process(name)
		if name == "1" && errors.Is(err, fs.ErrPermission) {
			return nil // where nobody may look at init: it is in no container
		}
		return err
	})
}

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
			seen[entry.Name()] = true
			if err := ignoreEnded(look(entry.Name())); err != nil {
				return err
			}
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

// survey gathers what keeps network namespaces alive.
type survey struct {
	nsfs   uint64          // device of the file system that namespaces are on
	live   map[uint64]bool // with namespaces of other kinds, whose numbers differ
	mounts map[string]bool // mount namespaces that have been looked at
}

func (s survey) process(pid string) error {
	threads, descriptors := filepath.Join("/proc", pid, "task"), filepath.Join("/proc", pid, "fd")
	return errors.Join(
		each(threads, func(name string) error { return s.file(filepath.Join(threads, name, "ns/net")) }),
		each(descriptors, func(name string) error { return s.file(filepath.Join(descriptors, name)) }),
		ignoreEnded(s.mounted(pid)),
	)
}

// file notes the file that a link in /proc leads to, if it is a namespace. What the
// link says would not tell: of a namespace that is mounted it is the path. No server
// is asked about a remote file, which might not answer.
func (s survey) file(path string) error {
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &stat); err != nil {
		return err
	}
	if unix.Mkdev(stat.Dev_major, stat.Dev_minor) == s.nsfs {
		s.live[stat.Ino] = true
	}
	return nil
}

// mounted notes what is mounted in the process's mount namespace, once for each.
func (s survey) mounted(pid string) error {
	mounts, err := os.Readlink(filepath.Join("/proc", pid, "ns/mnt"))
	if err != nil || s.mounts[mounts] {
		return err
	}
	netns, err := mountedNetns(pid)
	if err != nil {
		return err
	}
	s.mounts[mounts] = true
	maps.Copy(s.live, netns)
	return nil
}

// mountedNetns returns the network namespaces that are mounted in the mount
// namespace of a process. In proc_pid_mountinfo(5) they are the root of the mount.
func mountedNetns(pid string) (map[uint64]bool, error) {
	content, err := os.ReadFile(filepath.Join("/proc", pid, "mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("mounts of process %s: %w", pid, err)
	}
	found := map[uint64]bool{}
	for line := range strings.Lines(string(content)) {
		const root = 3
		if fields := strings.Fields(line); len(fields) > root {
			if netns := Number(fields[root]); netns != 0 {
				found[netns] = true
			}
		}
	}
	return found, nil
}
