// SPDX-License-Identifier: Apache-2.0

//go:build linux && (386 || amd64 || arm || ppc64le || s390x)

package killpoint

import "golang.org/x/sys/unix"

func addVfork(calls map[uint64]describer) {
	calls[unix.SYS_VFORK] = func(call) string { return "fork" }
}
