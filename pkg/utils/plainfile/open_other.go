// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package plainfile

import (
	"io/fs"
	"os"
)

func open(path string, flags int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(path, flags, mode)
}
