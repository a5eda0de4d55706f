// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// createWhole creates a file that has its content from the moment it has its
// name. It fails with fs.ErrExist if the name is taken.
func createWhole(path, content string) error {
	fd, err := unix.Open(filepath.Dir(path), unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, fileMode)
	if err != nil { // not every file system has nameless files
		return createExclusively(path, content)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	if _, err := file.WriteString(content); err != nil {
		return err
	}
	err = linkDirectly(fd, path)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		err = linkThroughProc(fd, path)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return createExclusively(path, content)
	}
	return err
}

// linkDirectly names a file. Before Linux 6.10 it needs CAP_DAC_READ_SEARCH.
func linkDirectly(fd int, path string) error {
	return unix.Linkat(fd, "", unix.AT_FDCWD, path, unix.AT_EMPTY_PATH)
}

// linkThroughProc names a file. It needs /proc.
func linkThroughProc(fd int, path string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}
