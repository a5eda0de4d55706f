// SPDX-License-Identifier: Apache-2.0

package wholefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// create is Create.
func create(path, content string, mode fs.FileMode) error {
	fd, err := unix.Open(filepath.Dir(path), unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, uint32(mode.Perm()))
	if err != nil { // not every file system has nameless files
		return createExclusively(path, content, mode)
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
		return createExclusively(path, content, mode)
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
