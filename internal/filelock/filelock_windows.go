// SPDX-License-Identifier: Apache-2.0

package filelock

import "golang.org/x/sys/windows"

// Lock waits until nobody else holds the lock on the first byte of the open file
// fd. It is held until Unlock, or until the file is closed.
func Lock(fd uintptr) error {
	return windows.LockFileEx(windows.Handle(fd), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, new(windows.Overlapped))
}

// Unlock gives the lock up.
func Unlock(fd uintptr) error {
	return windows.UnlockFileEx(windows.Handle(fd), 0, 1, 0, new(windows.Overlapped))
}
