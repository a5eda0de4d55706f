// SPDX-License-Identifier: Apache-2.0

//go:build unix

package wholefile

import (
	"os"

	"golang.org/x/sys/unix"
)

// mayWrite tells whether files can be made in a directory, or why not.
func mayWrite(dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &os.PathError{Op: "write to", Path: dir, Err: err}
	}
	if isFull(dir) {
		return &os.PathError{Op: "write to", Path: dir, Err: unix.ENOSPC}
	}
	return nil
}
