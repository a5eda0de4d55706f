// SPDX-License-Identifier: Apache-2.0

//go:build linux

package killpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// belowStack is how far below the stack's end the filter is put. A new program
// has 128 KiB there that it has not used yet.
const belowStack = 16 << 10

// installFilter has a command that has just been started, and is stopped before
// its first instruction, call seccomp. Nobody else can: this process must not
// have the filter, and between fork and exec there is nothing but the syscall
// package. Afterwards the command is as it was.
func installFilter(pid int, calls map[uint64]describer) (err error) {
	program, err := filterProgram(unix.AUDIT_ARCH_X86_64, calls)
	if err != nil {
		return err
	}
	var before unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &before); err != nil {
		return err
	}
	before.Orig_rax = ^uint64(0) // the exec is over; nothing is to be restarted
	address := (before.Rsp - belowStack) &^ 15
	if err := writeFilter(pid, uintptr(address), program); err != nil {
		return err
	}
	regs := before
	regs.Rax, regs.Rdi, regs.Rsi, regs.Rdx = unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, address
	defer func() { err = errors.Join(err, unix.PtraceSetRegs(pid, &before)) }()
	return syscallOnce(pid, regs)
}

// writeFilter writes struct sock_fprog to the command's memory, and the
// instructions, which are struct sock_filter, behind it.
func writeFilter(pid int, address uintptr, program []bpf.RawInstruction) error {
	const headerSize = unsafe.Sizeof(unix.SockFprog{})
	data := binary.NativeEndian.AppendUint64(nil, uint64(len(program)))
	data = binary.NativeEndian.AppendUint64(data, uint64(address+headerSize))
	for _, i := range program {
		data = binary.NativeEndian.AppendUint16(data, i.Op)
		data = append(data, i.Jt, i.Jf)
		data = binary.NativeEndian.AppendUint32(data, i.K)
	}
	local := []unix.Iovec{{Base: &data[0], Len: uint64(len(data))}}
	_, err := unix.ProcessVMWritev(pid, local, []unix.RemoteIovec{{Base: address, Len: len(data)}}, 0)
	return err
}

// syscallOnce has the command make the call that regs describe: with a syscall
// instruction in place of its first one, for the time being.
func syscallOnce(pid int, regs unix.PtraceRegs) (err error) {
	at, instruction := uintptr(regs.Rip), []byte{0x0f, 0x05}
	original := make([]byte, len(instruction))
	if _, err := unix.PtracePeekText(pid, at, original); err != nil {
		return err
	}
	if _, err := unix.PtracePokeText(pid, at, instruction); err != nil {
		return err
	}
	defer func() {
		_, restored := unix.PtracePokeText(pid, at, original)
		err = errors.Join(err, restored)
	}()
	if err := errors.Join(unix.PtraceSetRegs(pid, &regs), unix.PtraceSingleStep(pid)); err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		return err
	}
	if !status.Stopped() || status.StopSignal() != unix.SIGTRAP {
		return fmt.Errorf("process %d did not make one step: status %#x", pid, status)
	}
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	if result := int64(regs.Rax); result < 0 {
		return fmt.Errorf("seccomp: %w", unix.Errno(-result))
	}
	return nil
}
