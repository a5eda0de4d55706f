// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package nlattr finds single attributes in netlink messages. The netlink library
// makes an object of each: fifty for a link, with 5 KB of memory, where an ADD wants
// to know one; and there may be hundreds of thousands of tracked connections.
package nlattr

import (
	"encoding/binary"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes are attributes in the form that the kernel sends (netlink(7)).
type Attributes []byte

// Get returns the value of the first attribute of the first kind, in that the first
// of the second kind, and so on. It is nil where there is none.
func (a Attributes) Get(kinds ...uint16) Attributes {
	for _, kind := range kinds {
		a = a.first(kind)
	}
	return a
}

// Number returns the number that the value of an attribute is, of one or four bytes, 0
// for none.
func Number(value []byte) int {
	switch len(value) {
	case 1:
		return int(value[0])
	case 4:
		return int(binary.NativeEndian.Uint32(value))
	}
	return 0
}

func (a Attributes) first(kind uint16) Attributes {
	for len(a) >= unix.SizeofNlAttr {
		length := int(binary.NativeEndian.Uint16(a))
		if length < unix.SizeofNlAttr || length > len(a) {
			return nil
		}
		if binary.NativeEndian.Uint16(a[2:])&nl.NLA_TYPE_MASK == kind {
			return a[unix.SizeofNlAttr:length]
		}
		a = a[min(len(a), (length+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
	}
	return nil
}
