// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

#define SYS_prlimit64 261
#define RLIMIT_NOFILE 7

// cni_plugins_entry is where the kernel starts the executable, see entry.go. The stack
// holds argc, argv and NULL, the environment and NULL.
TEXT cni_plugins_entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVD	0(RSP), R0
	CMP	$1, R0
	BNE	start

	// One variable more, twice, as the stack has to stay aligned.
	MOVD	8(RSP), R1
	SUB	$16, RSP
	MOVD	R0, 0(RSP)
	MOVD	R1, 8(RSP)
	MOVD	ZR, 16(RSP)
	MOVD	·oneProcessor(SB), R0
	MOVD	R0, 24(RSP)
	MOVD	R0, 32(RSP)

	MOVD	·profileRate(SB), R0
	MOVD	ZR, (R0)

	// files = the limit
	MOVD	$0, R0
	MOVD	$RLIMIT_NOFILE, R1
	MOVD	$0, R2
	MOVD	$·files(SB), R3
	MOVD	$SYS_prlimit64, R8
	SVC
	CBNZ	R0, start

	// the soft limit = 3, for standard input, output and error
	MOVD	$·few(SB), R2
	MOVD	$3, R0
	MOVD	R0, 0(R2)
	MOVD	·files+8(SB), R0
	MOVD	R0, 8(R2)
	MOVD	$0, R0
	MOVD	$RLIMIT_NOFILE, R1
	MOVD	$0, R3
	MOVD	$SYS_prlimit64, R8
	SVC

start:
	JMP	_rt0_arm64_linux(SB)

// func limitFiles(limit *[2]uint64)
TEXT ·limitFiles(SB), NOSPLIT, $0-8
	MOVD	$0, R0
	MOVD	$RLIMIT_NOFILE, R1
	MOVD	limit+0(FP), R2
	MOVD	$0, R3
	MOVD	$SYS_prlimit64, R8
	SVC
	RET
