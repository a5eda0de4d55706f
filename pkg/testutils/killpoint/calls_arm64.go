// SPDX-License-Identifier: Apache-2.0

//go:build linux

package killpoint

import "golang.org/x/sys/unix"

// addLegacyCalls adds the calls that newer architectures do without.
func addLegacyCalls(calls map[uint64]describer) {
	calls[unix.SYS_RENAMEAT] = paths("rename", 1, 3)
}
