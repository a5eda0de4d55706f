// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package wholefile

import "io/fs"

// create is Create.
func create(path, content string, mode fs.FileMode) error {
	return createExclusively(path, content, mode)
}
