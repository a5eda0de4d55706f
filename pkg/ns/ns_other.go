// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package ns

import "errors"

// Only Linux has network namespaces: elsewhere no path leads to one.

// GetNS returns NSPathNotNSErr.
func GetNS(nspath string) (NetNS, error) { return nil, IsNSorErr(nspath) }

// IsNSorErr returns NSPathNotNSErr.
func IsNSorErr(nspath string) error {
	return NSPathNotNSErr{"only Linux has network namespaces: " + nspath}
}

// GetCurrentNS returns an error.
func GetCurrentNS() (NetNS, error) { return nil, errors.ErrUnsupported }

// TempNetNS returns an error.
func TempNetNS() (NetNS, error) { return nil, errors.ErrUnsupported }

// SameAsCurrent returns false.
func SameAsCurrent(string) (bool, error) { return false, nil }

// Same returns false.
func Same(NetNS, NetNS) (bool, error) { return false, nil }

// InodeAt returns 0.
func InodeAt(string) uint64 { return 0 }
