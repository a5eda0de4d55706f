// SPDX-License-Identifier: Apache-2.0

// Package sysctl reads and writes kernel parameters under /proc/sys. Those
// under net/ are the ones of the calling thread's network namespace.
package sysctl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Sysctl returns the value of the parameter called name, after setting it to
// params[0] if that is given. The first of "." and "/" in the name decides
// which of them separates its parts: with dots, "." and "/" change places, so
// that net.ipv4.conf.eth0/100.forwarding is about the interface eth0.100.
func Sysctl(name string, params ...string) (string, error) {
	switch len(params) {
	case 0:
		return get(name)
	case 1:
		if err := os.WriteFile(path(name), []byte(params[0]), 0o644); err != nil {
			return "", err
		}
		return get(name)
	}
	return "", errors.New("sysctl: more than one value")
}

// Set makes value the value of the parameter called name. It does not write
// what is there already: some parameters reset others when written, and
// /proc/sys may be read-only.
func Set(name, value string) error {
	have, err := get(name)
	if err != nil {
		return err
	}
	if have == value {
		return nil
	}
	if err := os.WriteFile(path(name), []byte(value), 0o644); err != nil {
		return fmt.Errorf("set it to %q: %w", value, err)
	}
	return nil
}

func get(name string) (string, error) {
	data, err := os.ReadFile(path(name))
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(data), "\n"), nil
}

func path(name string) string { return filepath.Join("/proc/sys", slashForm(name)) }

// slashForm returns name with "/" between its parts.
func slashForm(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '/' {
		return name
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(name)
}
