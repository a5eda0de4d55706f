// SPDX-License-Identifier: Apache-2.0

package sysctl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Sysctl returns the value of the parameter name. With one value in params it
// sets the parameter first.
func Sysctl(name string, params ...string) (string, error) {
	switch len(params) {
	case 0:
		return get(name)
	case 1:
		if err := write(name, params[0]); err != nil {
			return "", err
		}
		return get(name)
	}
	return "", fmt.Errorf("sysctl %s: %d values given, there can be one", name, len(params))
}

// Set gives the parameter name a value. It does not write a value that is there
// already, so it works on a read-only /proc/sys whose values are right.
func Set(name, value string) error {
	if current, err := get(name); err == nil && sameValue(current, value) {
		return nil
	}
	return write(name, value)
}

// sameValue compares as the kernel does, which separates the numbers of a list
// with tabs and accepts any white space.
func sameValue(a, b string) bool {
	return slices.Equal(strings.Fields(a), strings.Fields(b))
}

func get(name string) (string, error) {
	file, err := path(name)
	if err != nil {
		return "", err
	}
	value, err := read(file)
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", name, err)
	}
	return value, nil
}

// read returns the content of a file without the newline at its end. Some
// files have neither.
func read(file string) (string, error) {
	data, err := os.ReadFile(file)
	return strings.TrimSuffix(string(data), "\n"), err
}

// write does not create a file, as os.WriteFile would try to: a parameter that
// does not exist is then reported as such.
func write(name, value string) error {
	path, err := path(name)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("set sysctl %s to %q: %w", name, value, err)
	}
	_, err = file.WriteString(value)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("set sysctl %s to %q: %w", name, value, err)
	}
	return nil
}

// path returns the file of a parameter.
func path(name string) (string, error) {
	relative := slashed(name)
	if !filepath.IsLocal(relative) {
		return "", fmt.Errorf("sysctl %q leads out of /proc/sys", name)
	}
	return filepath.Join("/proc/sys", relative), nil
}

// slashed returns name with slashes as separators.
func slashed(name string) string {
	first := strings.IndexAny(name, "./")
	if first < 0 || name[first] == '/' {
		return name
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, name)
}
