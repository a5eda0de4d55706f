// SPDX-License-Identifier: Apache-2.0

//go:build linux

package killpoint

import (
	"errors"
	"maps"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// errNoFilter says that a command cannot be given a filter; it then stops at
// every system call, before and after.
var errNoFilter = errors.New("seccomp filters are not known for this architecture")

// Offsets in struct seccomp_data; the arguments follow as 64-bit numbers.
const (
	numberOffset = 0
	archOffset   = 4
	argsOffset   = 16
)

// filterProgram is a seccomp filter that stops a program at the calls, and lets
// it make all others at full speed: a stop takes as long as dozens of calls, and
// most calls are the Go runtime's own.
func filterProgram(arch uint32, calls map[uint64]describer) ([]bpf.RawInstruction, error) {
	trace, allow := bpf.RetConstant{Val: unix.SECCOMP_RET_TRACE}, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: arch, SkipTrue: 1},
		trace, // its numbers are others
		bpf.LoadAbsolute{Off: numberOffset, Size: 4},
	}
	for _, number := range slices.Sorted(maps.Keys(calls)) {
		verdict := verdictOn(number, trace, allow)
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(number), SkipTrue: uint8(len(verdict))})
		program = append(program, verdict...)
	}
	return bpf.Assemble(append(program, allow))
}

// verdictOn decides by their flags on those calls that are made most and seldom
// visible: opening a file, and starting a thread.
func verdictOn(number uint64, trace, allow bpf.Instruction) []bpf.Instruction {
	flags := func(arg, bits uint32, set, unset bpf.Instruction) []bpf.Instruction {
		return []bpf.Instruction{
			bpf.LoadAbsolute{Off: argsOffset + 8*arg, Size: 4}, // the low half: all architectures that have a filter are little-endian
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: bits, SkipFalse: 1},
			set, unset,
		}
	}
	switch number {
	case unix.SYS_OPENAT:
		return flags(2, visibleOpenFlags, trace, allow)
	case unix.SYS_CLONE:
		return flags(0, unix.CLONE_THREAD, allow, trace)
	}
	return []bpf.Instruction{trace}
}
