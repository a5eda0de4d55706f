// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containernetworking/plugins/internal/execfile"
)

// copied returns the settings with copies of all executables, below dir: how long a process takes depends on how its file
// came into the page cache, by a fifth (see Documentation/performance.md), and these are all written in the same way.
func (s settings) copied(dir string) (settings, error) {
	var err error
	if s.ours, err = copyPlugins(s.ours, filepath.Join(dir, "ours")); err != nil {
		return s, err
	}
	if s.theirs, err = copyPlugins(s.theirs, filepath.Join(dir, "theirs")); err != nil {
		return s, err
	}
	if s.bare != "" {
		bare := filepath.Join(dir, "bare")
		err = execfile.Copy(s.bare, bare)
		s.bare = bare
	}
	return s, err
}

// copyPlugins copies the executables of a directory. What is one file under several names stays one, since an executable
// calls its own copy of an IPAM plugin when that is the same file.
func copyPlugins(from, to string) (string, error) {
	entries, err := os.ReadDir(from)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return "", err
	}
	copies := map[string]fs.FileInfo{} // what was copied, by the path of the copy
	for _, entry := range entries {
		original, copied := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		info, err := os.Stat(original)
		if err != nil {
			return "", err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		if same := copyOf(info, copies); same != "" {
			err = os.Link(same, copied)
		} else {
			err = execfile.Copy(original, copied)
		}
		if err != nil {
			return "", err
		}
		copies[copied] = info
	}
	return to, nil
}

// copyOf returns the copy of a file, or "".
func copyOf(info fs.FileInfo, copies map[string]fs.FileInfo) string {
	for path, original := range copies {
		if os.SameFile(info, original) {
			return path
		}
	}
	return ""
}
