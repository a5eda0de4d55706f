// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

#define SYS_prlimit64 302
#define RLIMIT_NOFILE 7

// cni_plugins_entry is where the kernel starts the executable, see entry.go. The stack
// holds argc, argv and NULL, the environment and NULL (System V ABI, AMD64, 3.4.1).
TEXT cni_plugins_entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVQ	0(SP), AX
	CMPQ	AX, $1
	JNE	start

	// One variable more, twice, as the stack has to stay aligned.
	MOVQ	8(SP), BX
	LEAQ	-16(SP), SP
	MOVQ	AX, 0(SP)
	MOVQ	BX, 8(SP)
	MOVQ	$0, 16(SP)
	MOVQ	·oneProcessor(SB), AX
	MOVQ	AX, 24(SP)
	MOVQ	AX, 32(SP)

	MOVQ	·profileRate(SB), AX
	MOVQ	$0, (AX)

	// files = the limit
	MOVL	$0, DI
	MOVL	$RLIMIT_NOFILE, SI
	MOVL	$0, DX
	LEAQ	·files(SB), R10
	MOVL	$SYS_prlimit64, AX
	SYSCALL
	TESTQ	AX, AX
	JNE	start

	// the soft limit = 3, for standard input, output and error
	MOVQ	$3, ·few+0(SB)
	MOVQ	·files+8(SB), AX
	MOVQ	AX, ·few+8(SB)
	MOVL	$0, DI
	MOVL	$RLIMIT_NOFILE, SI
	LEAQ	·few(SB), DX
	MOVL	$0, R10
	MOVL	$SYS_prlimit64, AX
	SYSCALL

start:
	JMP	_rt0_amd64_linux(SB)

// func limitFiles(limit *[2]uint64)
TEXT ·limitFiles(SB), NOSPLIT, $0-8
	MOVL	$0, DI
	MOVL	$RLIMIT_NOFILE, SI
	MOVQ	limit+0(FP), DX
	MOVL	$0, R10
	MOVL	$SYS_prlimit64, AX
	SYSCALL
	RET
