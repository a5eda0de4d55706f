// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package hostlocal

// createWhole creates a file. It fails with fs.ErrExist if the name is taken.
func createWhole(path, content string) error { return createExclusively(path, content) }
