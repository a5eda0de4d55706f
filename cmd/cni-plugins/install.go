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
	if err := removeLeft(dir); err != nil {
		return err
	}
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

// place puts the executable into dir, under its own name: a copy, since what is
// installed must not change with what it was installed from.
func place(path, dir string) error {
	target := filepath.Join(dir, own)
	if same(path, target) {
		return nil
	}
	return replace(target, func(temporary string) error { return execfile.Copy(path, temporary) })
}

func same(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
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

// removeLeft removes what was left under temporary names by those who were killed.
func removeLeft(dir string) error {
	entries, err := os.ReadDir(dir)
	errs := []error{err}
	for _, entry := range entries {
		if pid, ok := writerOf(entry.Name()); ok && !runs(pid) {
			errs = append(errs, removeIfThere(filepath.Join(dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// writerOf returns the process that uses a temporary name, if it is one.
func writerOf(file string) (pid int, ok bool) {
	pid, err := strconv.Atoi(file[strings.LastIndexByte(file, '.')+1:])
	isFor := func(name string) bool { return file == temporaryName(name, pid) }
	return pid, err == nil && pid > 0 && slices.ContainsFunc(append(names(), own), isFor)
}

func runs(pid int) bool { return !errors.Is(unix.Kill(pid, 0), unix.ESRCH) }

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
