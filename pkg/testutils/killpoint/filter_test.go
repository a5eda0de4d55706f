// SPDX-License-Identifier: Apache-2.0

//go:build linux

package killpoint

import (
	"encoding/binary"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

var _ = DescribeTable("the filter",
	func(arch uint32, number int, args []uint32, verdict uint32) {
		const own = 62
		raw, err := filterProgram(own, visibleCalls())
		Expect(err).NotTo(HaveOccurred())
		program, known := bpf.Disassemble(raw)
		Expect(known).To(BeTrue())
		vm, err := bpf.NewVM(program)
		Expect(err).NotTo(HaveOccurred())
		// The machine that packets are filtered with reads big-endian words.
		data := make([]byte, argsOffset+6*8)
		binary.BigEndian.PutUint32(data[numberOffset:], uint32(number))
		binary.BigEndian.PutUint32(data[archOffset:], own+arch)
		for i, arg := range args {
			binary.BigEndian.PutUint32(data[argsOffset+8*i:], arg)
		}
		Expect(vm.Run(data)).To(Equal(int(verdict)))
	},
	Entry("stops at a message", uint32(0), unix.SYS_SENDTO, nil, uint32(unix.SECCOMP_RET_TRACE)),
	Entry("stops at the end", uint32(0), unix.SYS_EXIT_GROUP, nil, uint32(unix.SECCOMP_RET_TRACE)),
	Entry("lets a program read", uint32(0), unix.SYS_READ, nil, uint32(unix.SECCOMP_RET_ALLOW)),
	Entry("stops at what another architecture calls", uint32(1), unix.SYS_READ, nil, uint32(unix.SECCOMP_RET_TRACE)),
	Entry("lets a program open a file", uint32(0), unix.SYS_OPENAT, []uint32{0, 0, unix.O_RDWR | unix.O_CLOEXEC | unix.O_DIRECTORY}, uint32(unix.SECCOMP_RET_ALLOW)),
	Entry("stops where it makes one", uint32(0), unix.SYS_OPENAT, []uint32{0, 0, unix.O_WRONLY | unix.O_CREAT}, uint32(unix.SECCOMP_RET_TRACE)),
	Entry("stops where it empties one", uint32(0), unix.SYS_OPENAT, []uint32{0, 0, unix.O_WRONLY | unix.O_TRUNC}, uint32(unix.SECCOMP_RET_TRACE)),
	Entry("stops where it makes one without a name", uint32(0), unix.SYS_OPENAT, []uint32{0, 0, unix.O_WRONLY | unix.O_TMPFILE}, uint32(unix.SECCOMP_RET_TRACE)),
	Entry("lets a program start a thread", uint32(0), unix.SYS_CLONE, []uint32{unix.CLONE_VM | unix.CLONE_THREAD}, uint32(unix.SECCOMP_RET_ALLOW)),
	Entry("stops at a fork", uint32(0), unix.SYS_CLONE, []uint32{unix.CLONE_VM | unix.CLONE_VFORK}, uint32(unix.SECCOMP_RET_TRACE)),
)
