// SPDX-License-Identifier: Apache-2.0

// Package execfile copies executables.
package execfile

import (
	"errors"
	"os"
	"slices"
)

// piece is what is written at a time. Each is a large folio of the page cache then,
// which is mapped faster (Documentation/performance.md).
const piece = 256 << 10

// Copy copies an executable to a path where nothing is, and returns when it is on
// the disk.
func Copy(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(content, piece) {
		if _, err = target.Write(part); err != nil {
			break
		}
	}
	return errors.Join(err, target.Sync(), target.Close())
}
