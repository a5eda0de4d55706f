// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package plugin

import (
	"io"
	"os"
)

// standardOutput is where the answer goes.
func standardOutput() io.Writer { return os.Stdout }
