// SPDX-License-Identifier: Apache-2.0

//go:build unix

package filelock

import (
	"errors"
	"os"
	"time"

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

// LockWithin is Lock, but gives up with os.ErrDeadlineExceeded when somebody else
// has held the lock for limit. It is for files that anybody can lock. A lock that comes
// later is one until the process closes the file.
func LockWithin(fd uintptr, limit time.Duration) error {
	err := unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB)
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	locked := make(chan error, 1)
	go func() { locked <- Lock(fd) }() // nobody can call back a thread that waits in flock(2)
	select {
	case err := <-locked:
		return err
	case <-time.After(limit):
		return os.ErrDeadlineExceeded
	}
}

// Unlock gives the lock up.
func Unlock(fd uintptr) error { return unix.Flock(int(fd), unix.LOCK_UN) }
