// SPDX-License-Identifier: Apache-2.0

//go:build unix

package hostlocal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile waits until nobody else holds the lock on file.
func lockFile(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// isRemoved tells whether an open file has no name any more.
func isRemoved(file *os.File) bool {
	var stat unix.Stat_t
	return unix.Fstat(int(file.Fd()), &stat) == nil && stat.Nlink == 0
}
