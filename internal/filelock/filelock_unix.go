// SPDX-License-Identifier: Apache-2.0

//go:build unix

package filelock

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Lock waits until nobody else holds the lock on the open file fd. It is held
// until Unlock, or until the file is closed.
func Lock(fd uintptr) error {
	for {
		err := unix.Flock(int(fd), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Unlock gives the lock up.
func Unlock(fd uintptr) error { return unix.Flock(int(fd), unix.LOCK_UN) }
