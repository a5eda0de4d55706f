// SPDX-License-Identifier: Apache-2.0

package sysctl

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Sysctl returns the value of the parameter name. With one value in params it
// sets the parameter first. os.IsNotExist knows the error of a parameter that does
// not exist.
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
	if has(name, value) {
		return nil
	}
	return write(name, value)
}

// Write is Set, but writes a value that is there already, too. With parameters
// that stand for those of all interfaces, that has an effect.
func Write(name, value string) error {
	err := write(name, value)
	if err != nil && has(name, value) {
		return nil
	}
	return err
}

// has tells whether the parameter name has the value.
func has(name, value string) bool {
	current, err := get(name)
	return err == nil && SameValue(current, value)
}

// SameValue tells whether the kernel makes the same of a and b. It separates
// the numbers of a list with tabs, accepts any white space, and understands
// hexadecimal and octal numbers. It prints addresses of IPv6 in full
// (stable_secret), and sets in order (ip_local_reserved_ports).
func SameValue(a, b string) bool {
	return slices.EqualFunc(strings.Fields(a), strings.Fields(b), func(a, b string) bool {
		return a == b || sameNumber(a, b) || sameAddress(a, b) || sameSet(a, b)
	})
}

func sameNumber(a, b string) bool {
	x, errX := strconv.ParseInt(a, 0, 64)
	y, errY := strconv.ParseInt(b, 0, 64)
	return errX == nil && errY == nil && x == y
}

func sameAddress(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	return errX == nil && errY == nil && x == y
}

func sameSet(a, b string) bool {
	x, okX := spansOf(a)
	y, okY := spansOf(b)
	return okX && okY && slices.Equal(x, y)
}

// span are the numbers from first to last.
type span struct{ first, last uint64 }

// spansOf returns the spans of a set of numbers such as 8080,9000-9010, in order
// and as few as there can be.
func spansOf(set string) ([]span, bool) {
	var all []span
	for _, item := range strings.Split(strings.TrimSuffix(set, ","), ",") {
		from, to, isRange := strings.Cut(item, "-")
		if !isRange {
			to = from
		}
		first, errFirst := strconv.ParseUint(from, 0, 32)
		last, errLast := strconv.ParseUint(to, 0, 32)
		if errFirst != nil || errLast != nil || first > last {
			return nil, false
		}
		all = append(all, span{first, last})
	}
	return joined(all), true
}

// joined makes one of spans that overlap or adjoin.
func joined(spans []span) []span {
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	few := spans[:1]
	for _, next := range spans[1:] {
		if last := &few[len(few)-1]; next.first <= last.last+1 {
			last.last = max(last.last, next.last)
		} else {
			few = append(few, next)
		}
	}
	return few
}

func get(name string) (string, error) {
	file, err := path(name)
	if err != nil {
		return "", err
	}
	value, err := read(file)
	if err != nil {
		return "", &fs.PathError{Op: "read", Path: file, Err: err}
	}
	return value, nil
}

// read returns the content of a file without the newline at its end. Some
// files have neither. Files of /proc/sys end where read says so, whatever their
// size; os.File would ask the poller about each.
func read(file string) (string, error) {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var content []byte
	buffer := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, buffer)
		if n <= 0 || err != nil {
			return strings.TrimSuffix(string(content), "\n"), err
		}
		content = append(content, buffer[:n]...)
	}
}

// write does not create a file, as os.WriteFile would try to: a parameter that
// does not exist is then reported as such. To write nothing at all would leave
// the parameter as it is: an empty list is an empty line.
func write(name, value string) error {
	file, err := path(name)
	if err != nil {
		return err
	}
	if err := writeFile(file, cmp.Or(value, "\n")); err != nil {
		return &fs.PathError{Op: fmt.Sprintf("write %q to", value), Path: file, Err: err}
	}
	return nil
}

// writeFile writes a value at once: the kernel takes each call for a whole one.
func writeFile(path, value string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(value))
	return errors.Join(err, unix.Close(fd))
}

// path returns the file of a parameter.
func path(name string) (string, error) {
	relative := strings.TrimLeft(slashed(name), "/")
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
