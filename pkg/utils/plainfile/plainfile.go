// SPDX-License-Identifier: Apache-2.0

// Package plainfile opens files that can always be read and written at once:
// those of disks, of memory and of /proc. For each file that package os opens it
// asks the poller whether there is something to wait for, with six system calls,
// and a process that has the poller asks it again and again.
package plainfile

import (
	"io"
	"io/fs"
	"os"
)

// Open opens the file at path; flags and mode are those of os.OpenFile, and so
// is the error.
func Open(path string, flags int, mode fs.FileMode) (*os.File, error) { return open(path, flags, mode) }

// Read returns the content of the file at path.
func Read(path string) ([]byte, error) {
	file, err := Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}
