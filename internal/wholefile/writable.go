// SPDX-License-Identifier: Apache-2.0

package wholefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Writable tells why files could not be created in the directory dir, which
// does not have to exist as long as it could be made.
func Writable(dir string) error {
	for {
		info, err := os.Stat(dir)
		parent := filepath.Dir(dir)
		switch {
		case IsAbsent(err) && parent != dir:
			dir = parent
		case err != nil:
			return err
		case !info.IsDir():
			return &os.PathError{Op: "use", Path: dir, Err: syscall.ENOTDIR}
		default:
			return mayWrite(dir)
		}
	}
}

// IsAbsent tells whether err says that there is no such file, nor can be one as
// long as its path means what it means now.
func IsAbsent(err error) bool {
	for _, reason := range []error{syscall.ENOENT, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.EINVAL} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return errors.Is(err, fs.ErrNotExist)
}
