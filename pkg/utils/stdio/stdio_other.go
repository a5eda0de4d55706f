// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package stdio

import (
	"io"
	"os"
)

// Writer returns the file.
func Writer(file *os.File) io.Writer { return file }
