// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile waits until nobody else holds the lock on the first byte of file.
func lockFile(file *os.File) error {
	return windows.LockFileEx(windows.Handle(file.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, new(windows.Overlapped))
}

// isRemoved has nothing to find out: an open file cannot be removed.
func isRemoved(*os.File) bool { return false }
