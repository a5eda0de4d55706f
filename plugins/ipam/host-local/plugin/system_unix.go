// SPDX-License-Identifier: Apache-2.0

//go:build unix

package hostlocal

import (
	"os"

	"golang.org/x/sys/unix"
)

// isRemoved tells whether an open file has no name any more.
func isRemoved(file *os.File) bool {
	var stat unix.Stat_t
	return unix.Fstat(int(file.Fd()), &stat) == nil && stat.Nlink == 0
}
