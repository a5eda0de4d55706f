// SPDX-License-Identifier: Apache-2.0

//go:build linux

package killpoint

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a system call about to be made by a stopped thread.
type call struct {
	tid    int
	pid    int // of its process
	number uint64
	args   [6]uint64
}

// describer says what a call is about to do, or nothing if nobody can see it.
type describer func(call) string

// syscallInfo is struct ptrace_syscall_info, as far as an entry fills it.
type syscallInfo struct {
	op                 uint8
	_                  [3]uint8
	arch               uint32
	instruction, stack uint64
	number             uint64
	args               [6]uint64
	_                  uint64
}

// readCall reads the system call at which tid has stopped, and whether it is
// entering or leaving it (Linux 5.3).
func readCall(tid, pid int) (c call, entering bool, err error) {
	var info syscallInfo
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return call{}, false, errno
	}
	return call{tid, pid, info.number, info.args}, info.op == unix.PTRACE_SYSCALL_INFO_ENTRY || info.op == unix.PTRACE_SYSCALL_INFO_SECCOMP, nil
}

func (c call) exits() bool { return c.number == unix.SYS_EXIT_GROUP }

// visibleCalls lists the system calls that others may see something of.
func visibleCalls() map[uint64]describer {
	calls := map[uint64]describer{
		unix.SYS_SENDTO:          func(c call) string { return c.sendto() },
		unix.SYS_SENDMSG:         func(c call) string { return c.sendmsg() },
		unix.SYS_SENDMMSG:        func(c call) string { return c.sendmsg() }, // the first message stands for all
		unix.SYS_SETSOCKOPT:      func(c call) string { return c.setsockopt() },
		unix.SYS_IOCTL:           func(c call) string { return c.ioctl() },
		unix.SYS_WRITE:           func(c call) string { return c.write("write") },
		unix.SYS_PWRITE64:        func(c call) string { return c.write("pwrite") },
		unix.SYS_WRITEV:          func(c call) string { return c.write("writev") },
		unix.SYS_PWRITEV:         func(c call) string { return c.write("pwritev") },
		unix.SYS_SENDFILE:        func(c call) string { return c.write("sendfile") },
		unix.SYS_COPY_FILE_RANGE: func(c call) string { return c.copyRange() },
		unix.SYS_FTRUNCATE:       func(c call) string { return c.write("ftruncate") },
		unix.SYS_FALLOCATE:       func(c call) string { return c.write("fallocate") },
		unix.SYS_FCHMOD:          func(c call) string { return c.write("fchmod") },
		unix.SYS_FCHOWN:          func(c call) string { return c.write("fchown") },
		unix.SYS_TRUNCATE:        paths("truncate", 0),
		unix.SYS_OPENAT:          func(c call) string { return c.open(c.args[1], c.args[2]) },
		unix.SYS_OPENAT2:         func(c call) string { return c.open(c.args[1], c.number64(c.args[2])) },
		unix.SYS_LINKAT:          paths("link", 1, 3),
		unix.SYS_SYMLINKAT:       paths("symlink", 0, 2),
		unix.SYS_UNLINKAT:        paths("unlink", 1),
		unix.SYS_RENAMEAT2:       paths("rename", 1, 3),
		unix.SYS_MKDIRAT:         paths("mkdir", 1),
		unix.SYS_MKNODAT:         paths("mknod", 1),
		unix.SYS_FCHMODAT:        paths("chmod", 1),
		unix.SYS_FCHOWNAT:        paths("chown", 1),
		unix.SYS_UTIMENSAT:       paths("utimens", 1),
		unix.SYS_MOUNT:           paths("mount", 0, 1),
		unix.SYS_UMOUNT2:         paths("umount", 0),
		unix.SYS_EXECVE:          paths("exec", 0),
		unix.SYS_EXECVEAT:        paths("exec", 1),
		unix.SYS_CLONE:           func(c call) string { return fork(c.args[0]) },
		unix.SYS_CLONE3:          func(c call) string { return fork(c.number64(c.args[0])) },
		unix.SYS_EXIT_GROUP:      func(call) string { return "exit" },
	}
	addLegacyCalls(calls)
	return calls
}

// paths describes a call by its name and the paths among its arguments.
func paths(name string, args ...int) describer {
	return func(c call) string {
		words := []string{name}
		for _, i := range args {
			words = append(words, c.text(c.args[i]))
		}
		return strings.Join(words, " ")
	}
}

const visibleOpenFlags = unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY

// open is visible if it makes a file or empties one, which nobody can in /proc.
func (c call) open(path, flags uint64) string {
	if flags&visibleOpenFlags == 0 {
		return ""
	}
	name := c.text(path)
	if strings.HasPrefix(name, "/proc/") {
		return ""
	}
	return "create " + name
}

// write is visible on a file, and on standard output as the answer.
func (c call) write(name string) string {
	return c.change(name, int(c.args[0]))
}

func (c call) copyRange() string {
	return c.change("copy_file_range", int(c.args[2]))
}

func (c call) change(name string, fd int) string {
	file := fmt.Sprintf("/proc/%d/fd/%d", c.tid, fd)
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return ""
	case info.Mode().IsRegular():
		target, _ := os.Readlink(file)
		return name + " " + target
	case fd == 1 && info.Mode()&os.ModeCharDevice == 0:
		return "print the answer"
	case info.Mode()&os.ModeSocket != 0 && name == "write":
		return c.send(fd, nil, c.memory(c.args[1], c.args[2]))
	case info.Mode()&os.ModeSocket != 0 && name == "writev":
		return c.send(fd, nil, c.gather(c.args[1], c.args[2]))
	}
	return ""
}

// fork is visible if it makes a process, not just a thread.
func fork(flags uint64) string {
	if flags&unix.CLONE_THREAD != 0 {
		return ""
	}
	return "fork"
}

func (c call) sendto() string {
	return c.send(int(c.args[0]), c.memory(c.args[4], c.args[5]), c.memory(c.args[1], c.args[2]))
}

// sendmsg reads struct msghdr: name, namelen, iov, iovlen.
func (c call) sendmsg() string {
	header := c.memory(c.args[1], 32)
	if len(header) < 32 {
		return ""
	}
	word := func(i int) uint64 { return binary.NativeEndian.Uint64(header[8*i:]) }
	address := c.memory(word(0), uint64(uint32(word(1))))
	return c.send(int(c.args[0]), address, c.gather(word(2), word(3)))
}

// gather reads the buffers of an iovec.
func (c call) gather(iov, count uint64) []byte {
	var data []byte
	list := c.memory(iov, 16*min(count, 1024))
	for ; len(list) >= 16; list = list[16:] {
		data = append(data, c.memory(binary.NativeEndian.Uint64(list), binary.NativeEndian.Uint64(list[8:]))...)
	}
	return data
}

// send is visible unless it only asks the kernel something.
func (c call) send(fd int, address, data []byte) string {
	domain, protocol, err := c.socket(fd)
	switch {
	case err != nil:
		return ""
	case domain == unix.AF_NETLINK:
		return describeNetlink(protocol, data)
	}
	return "send " + socketName(domain, address)
}

func socketName(domain int, address []byte) string {
	switch domain {
	case unix.AF_UNIX:
		if len(address) > 2 {
			return "to " + strings.Trim(string(address[2:]), "\x00")
		}
		return "to a unix socket"
	case unix.AF_PACKET:
		return "a raw packet"
	}
	return "to the network"
}

// socket asks a copy of the descriptor what kind of socket it is.
func (c call) socket(fd int) (domain, protocol int, err error) {
	process, err := unix.PidfdOpen(c.pid, 0)
	if err != nil {
		return 0, 0, err
	}
	defer unix.Close(process)
	socket, err := unix.PidfdGetfd(process, fd, 0)
	if err != nil {
		return 0, 0, err
	}
	defer unix.Close(socket)
	if domain, err = unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil {
		return 0, 0, err
	}
	protocol, err = unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	return domain, protocol, err
}

// setsockopt is how the old iptables replaces its tables: IPT_SO_SET_REPLACE
// and the same number for IPv6, ARP and bridges.
func (c call) setsockopt() string {
	const firstSet, lastSet = 64, 67
	level, option := c.args[1], c.args[2]
	if (level == unix.SOL_IP || level == unix.SOL_IPV6) && option >= firstSet && option <= lastSet {
		return fmt.Sprintf("setsockopt of netfilter %d", option)
	}
	return ""
}

// ioctl is visible if it sets something of a device.
func (c call) ioctl() string {
	const (
		siocsifbr   = 0x8941
		siocdevpriv = 0x89f0
	)
	switch request := c.args[1] & 0xffffffff; request {
	case unix.SIOCETHTOOL, unix.TUNSETIFF, unix.TUNSETPERSIST, unix.TUNSETOWNER, unix.TUNSETGROUP,
		unix.SIOCSIFFLAGS, unix.SIOCSIFADDR, unix.SIOCSIFNETMASK, unix.SIOCSIFBRDADDR, unix.SIOCSIFDSTADDR, unix.SIOCSIFMTU,
		unix.SIOCSIFHWADDR, unix.SIOCSIFNAME, unix.SIOCSIFTXQLEN, unix.SIOCSIFMETRIC, unix.SIOCADDMULTI, unix.SIOCDELMULTI,
		unix.SIOCADDRT, unix.SIOCDELRT, unix.SIOCSARP, unix.SIOCDARP, siocsifbr:
		return fmt.Sprintf("ioctl %#x", request)
	default:
		if request >= 0x8990 && request < siocdevpriv { // bonding, bridges, time stamps
			return fmt.Sprintf("ioctl %#x", request)
		}
	}
	return ""
}

// memory reads the tracee's memory; less than asked for where it is not mapped.
func (c call) memory(address, length uint64) []byte {
	const most = 1 << 20
	if address == 0 || length == 0 {
		return nil
	}
	data := make([]byte, min(length, most))
	local := []unix.Iovec{{Base: &data[0]}}
	local[0].SetLen(len(data))
	n, err := unix.ProcessVMReadv(c.tid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(data)}}, 0)
	if err != nil {
		return nil
	}
	return data[:n]
}

// text reads a C string of the tracee, up to the end of the page it ends in.
func (c call) text(address uint64) string {
	const page = 4096
	var text []byte
	for address != 0 && len(text) < unix.PathMax {
		chunk := c.memory(address, page-address%page)
		if end := strings.IndexByte(string(chunk), 0); end >= 0 {
			return string(append(text, chunk[:end]...))
		}
		if len(chunk) == 0 {
			break
		}
		text = append(text, chunk...)
		address += uint64(len(chunk))
	}
	return filepath.Clean(string(text))
}

// number64 reads the 64-bit number at address; the flags of struct clone_args
// and of struct open_how stand first.
func (c call) number64(address uint64) uint64 {
	data := c.memory(address, 8)
	if len(data) < 8 {
		return 0
	}
	return binary.NativeEndian.Uint64(data)
}
