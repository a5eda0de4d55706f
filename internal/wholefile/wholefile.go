// SPDX-License-Identifier: Apache-2.0

// Package wholefile writes small files that are there with all of their content
// or not at all, whenever the process that writes them is killed. It leaves
// nothing else behind.
package wholefile

import (
	"errors"
	"io/fs"
	"os"
)

// Create creates a file that has its content from the moment it has its name.
// It fails with fs.ErrExist if the name is taken. Where the system or the file
// system has no files without a name, a kill may leave the file with a part of
// its content.
func Create(path, content string, mode fs.FileMode) error { return create(path, content, mode) }

// Replace puts a file with the content at path, in the place of what is there.
// If there is something, a kill may leave the new file beside it: it has all of
// its content, and is called Aside(path).
func Replace(path, content string, mode fs.FileMode) error {
	err := Create(path, content, mode)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Remove(Aside(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := Create(Aside(path), content, mode); err != nil {
		return err
	}
	return os.Rename(Aside(path), path)
}

// Aside returns where Replace has the new file before it takes its place.
func Aside(path string) string { return path + "~" }

// Remove removes the file at path, and what a kill may have left beside it. That
// there is neither is a success, also where nothing could be removed: a read-only
// file system says so before it looks.
func Remove(path string) error {
	var errs []error
	for _, name := range []string{Aside(path), path} {
		errs = append(errs, unlessAbsent(name, os.Remove(name)))
	}
	return errors.Join(errs...)
}

// SetAside renames the file at path to Aside(path), whatever a kill may have left
// there. That there is none is a success, as with Remove.
func SetAside(path string) error { return unlessAbsent(path, os.Rename(path, Aside(path))) }

// unlessAbsent returns the error that a change of a file has met, if there is one.
func unlessAbsent(path string, err error) error {
	if err == nil || IsAbsent(err) {
		return nil
	}
	if _, absent := os.Lstat(path); IsAbsent(absent) {
		return nil
	}
	return err
}

// createExclusively is Create where the system cannot do better.
func createExclusively(path, content string, mode fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
