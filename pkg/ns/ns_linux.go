// SPDX-License-Identifier: Apache-2.0

package ns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// Magic numbers of the file systems that namespaces are files of: their own
// since Linux 3.19, procfs before.
const (
	NSFS_MAGIC   = unix.NSFS_MAGIC
	PROCFS_MAGIC = unix.PROC_SUPER_MAGIC
)

// netNS is a namespace held by an open file. The file counts its users, so
// that closing it takes effect after a setns that is under way.
type netNS struct {
	file *os.File
	path string
}

// GetNS opens the network namespace at nspath.
func GetNS(nspath string) (NetNS, error) {
	if err := IsNSorErr(nspath); err != nil {
		return nil, err
	}
	file, err := plainfile.Open(nspath, os.O_RDONLY, 0)
	if isNothingThere(err) {
		return nil, notExist(nspath, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	if err := verify(file); err != nil {
		file.Close()
		return nil, err
	}
	return &netNS{file, nspath}, nil
}

// IsNSorErr returns nil when the file at nspath is on a file system of
// namespaces. It does not open the file and cannot tell kinds of namespaces
// apart; GetNS does.
func IsNSorErr(nspath string) error {
	var stat unix.Statfs_t
	err := statfs(nspath, &stat)
	if isNothingThere(err) {
		return notExist(nspath, err)
	}
	if err != nil {
		return fmt.Errorf("statfs network namespace %q: %w", nspath, err)
	}
	switch uint32(stat.Type) {
	case NSFS_MAGIC, PROCFS_MAGIC:
		return nil
	}
	return NSPathNotNSErr{fmt.Sprintf("unknown FS magic on %q: %x, that of a network namespace is %x", nspath, stat.Type, NSFS_MAGIC)}
}

// GetCurrentNS opens the network namespace of the calling OS thread.
func GetCurrentNS() (NetNS, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	path := threadPath()
	file, err := plainfile.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open current network namespace: %w", err)
	}
	return &netNS{file, path}, nil
}

// TempNetNS makes a network namespace that lasts as long as it is held open or
// has a thread or socket in it. Its path is valid until it is closed.
func TempNetNS() (NetNS, error) {
	var created NetNS
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		created, err = holdCurrent()
		return err
	})
	return created, err
}

// SameAsCurrent tells whether path is the network namespace of the calling OS
// thread. A path that cannot be looked at is not.
func SameAsCurrent(path string) (bool, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var current, other unix.Stat_t
	if err := unix.Stat(threadPath(), &current); err != nil {
		return false, fmt.Errorf("stat current network namespace: %w", err)
	}
	if err := unix.Stat(path, &other); err != nil {
		return false, nil
	}
	return sameFile(current, other), nil
}

func sameFile(a, b unix.Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

// Same tells whether two handles are of one network namespace.
func Same(a, b NetNS) (bool, error) {
	var first, second unix.Stat_t
	if err := errors.Join(unix.Fstat(int(a.Fd()), &first), unix.Fstat(int(b.Fd()), &second)); err != nil {
		return false, fmt.Errorf("compare network namespaces: %w", err)
	}
	return sameFile(first, second), nil
}

// InodeAt returns the inode number of the network namespace at path, or 0 if there
// is none.
func InodeAt(path string) uint64 {
	var stat unix.Stat_t
	if path == "" || IsNSorErr(path) != nil || unix.Stat(path, &stat) != nil {
		return 0
	}
	return stat.Ino
}

func (n *netNS) Path() string { return n.path }

func (n *netNS) Fd() uintptr { return n.file.Fd() }

func (n *netNS) Do(toRun func(NetNS) error) error {
	caller, err := GetCurrentNS()
	if err != nil {
		return err
	}
	defer caller.Close()
	return n.inside(func() error { return toRun(caller) })
}

// inside is Do for what does not ask where the caller is.
func (n *netNS) inside(fn func() error) error {
	return onThread(func() error {
		if err := n.Set(); err != nil {
			return err
		}
		return fn()
	})
}

func (n *netNS) Set() error {
	conn, err := n.file.SyscallConn()
	if err != nil {
		return n.closed()
	}
	var setns error
	err = conn.Control(func(fd uintptr) { setns = unix.Setns(int(fd), unix.CLONE_NEWNET) })
	if err != nil {
		return n.closed()
	}
	if setns != nil {
		return fmt.Errorf("enter network namespace %q: %w", n.path, setns)
	}
	return nil
}

func (n *netNS) Close() error {
	err := n.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return n.closed()
	}
	return err
}

func (n *netNS) closed() error {
	return fmt.Errorf("network namespace %q has already been closed: %w", n.path, os.ErrClosed)
}

// holdCurrent opens the current namespace under the path of its descriptor,
// which other than the thread's stays valid when the thread leaves it.
func holdCurrent() (NetNS, error) {
	fd, err := unix.Open(threadPath(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open new network namespace: %w", err)
	}
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
	return &netNS{os.NewFile(uintptr(fd), path), path}, nil
}

// threadPath returns the path of the calling thread's namespace.
func threadPath() string {
	return fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
}

// verify returns an error when the kernel knows that file is not a network
// namespace: a namespace of another kind, or a regular file of procfs.
func verify(file *os.File) error {
	kind, err := namespaceKind(file)
	if err == nil && kind != unix.CLONE_NEWNET {
		return NSPathNotNSErr{fmt.Sprintf("%q is a namespace of another kind, not a network namespace", file.Name())}
	}
	if err != nil && kernelTellsKinds() {
		return NSPathNotNSErr{fmt.Sprintf("%q is not a network namespace", file.Name())}
	}
	return nil
}

// kernelTellsKinds tells whether NS_GET_NSTYPE works, as it does since 4.11,
// by asking about a file that is a namespace for certain.
func kernelTellsKinds() bool {
	file, err := plainfile.Open("/proc/self/ns/net", os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	_, err = namespaceKind(file)
	return err == nil
}

// namespaceKind returns the CLONE_NEW... flag of the namespace file is.
func namespaceKind(file *os.File) (int, error) {
	return unix.IoctlRetInt(int(file.Fd()), unix.NS_GET_NSTYPE)
}

func statfs(path string, stat *unix.Statfs_t) error {
	for {
		if err := unix.Statfs(path, stat); err != unix.EINTR {
			return err
		}
	}
}

// isNothingThere tells whether a path leads to nothing, or cannot lead anywhere.
func isNothingThere(err error) bool {
	for _, errno := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ENAMETOOLONG} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// notExist has the text that callers look for.
func notExist(path string, err error) error {
	return NSPathNotExistErr{fmt.Sprintf("failed to Statfs %q: %v", path, pathless(err))}
}

// pathless drops the operation and the path os.Open adds to an error.
func pathless(err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
