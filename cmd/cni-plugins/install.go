// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/execfile"
	"github.com/containernetworking/plugins/internal/filelock"
)

// own is the name that the executable has beside those of the plugins.
const own = "cni-plugins"

// install gives the executable at path the names of the plugins in dir, and its
// own. They are hard links, or symbolic ones where a file system has no others.
// Each name is replaced at once: whoever calls a plugin meanwhile gets the old
// one or the new one.
func install(path, dir string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := prepare(dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := place(path, dir); err != nil {
		return fmt.Errorf("%s: %w", own, err)
	}
	for _, name := range names() {
		if err := link(dir, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// prepare keeps others from installing into dir until unlock, removes what those have
// left who were killed, and finds out whether all names can be given.
func prepare(dir string) (unlock func() error, err error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if filelock.Lock(file.Fd()) == nil { // no NFS has locks on directories: there, what is left may be in use
		err = removeLeft(dir)
	}
	errs := []error{err}
	for _, name := range append(names(), own) {
		path := filepath.Join(dir, name)
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			errs = append(errs, fmt.Errorf("%s is a directory; remove or rename it", path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file.Close, nil
}

// place puts the executable into dir, under its own name: a copy, since what is
// installed must not change with what it was installed from, as a link would.
func place(path, dir string) error {
	target := filepath.Join(dir, own)
	if isAt(path, target) {
		return nil
	}
	return replace(target, func(temporary string) error { return execfile.Copy(path, temporary) })
}

// isAt tells whether a path without symbolic links is target.
func isAt(path, target string) bool {
	dir, err := filepath.EvalSymlinks(filepath.Dir(target))
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	return err == nil && filepath.Join(dir, filepath.Base(target)) == path
}

// link gives the executable in dir another name.
func link(dir, name string) error {
	target := filepath.Join(dir, name)
	return replace(target, func(temporary string) error {
		err := os.Link(filepath.Join(dir, own), temporary)
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EMLINK) {
			return os.Symlink(own, temporary)
		}
		return err
	})
}

// replace has fn make a file under a temporary name, and gives that the name
// target in one step.
func replace(target string, fn func(temporary string) error) error {
	temporary := filepath.Join(filepath.Dir(target), temporaryName(filepath.Base(target), os.Getpid()))
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := fn(temporary); err != nil {
		return errors.Join(err, removeIfThere(temporary))
	}
	if err := os.Rename(temporary, target); err != nil {
		return errors.Join(err, removeIfThere(temporary))
	}
	// To rename one link of a file to another of the same file does nothing.
	return removeIfThere(temporary)
}

func temporaryName(name string, pid int) string { return fmt.Sprintf(".%s.%d", name, pid) }

// removeLeft removes all that has a temporary name.
func removeLeft(dir string) error {
	entries, err := os.ReadDir(dir)
	errs := []error{err}
	for _, entry := range entries {
		if isTemporary(entry.Name()) {
			errs = append(errs, removeIfThere(filepath.Join(dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

func isTemporary(file string) bool {
	pid, err := strconv.Atoi(file[strings.LastIndexByte(file, '.')+1:])
	isFor := func(name string) bool { return file == temporaryName(name, pid) }
	return err == nil && pid > 0 && slices.ContainsFunc(append(names(), own), isFor)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
