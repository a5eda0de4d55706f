// SPDX-License-Identifier: Apache-2.0

package wholefile

import "golang.org/x/sys/unix"

// isFull tells whether the file system of dir has no room for another file. Root
// may use what is not available to others. A file system without a limit has a
// total of 0.
func isFull(dir string) bool {
	var stat unix.Statfs_t
	if unix.Statfs(dir, &stat) != nil {
		return false
	}
	return stat.Blocks > 0 && stat.Bfree == 0 || stat.Files > 0 && stat.Ffree == 0
}
