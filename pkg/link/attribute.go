// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"encoding/binary"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attribute returns the value of an attribute of a link message: the first of the
// first kind, in its value the first of the second kind, and so on. It is nil where
// there is none. The netlink library makes objects out of all fifty attributes, with
// 5 KB of memory, where an ADD wants to know one.
func attribute(message []byte, kinds ...uint16) []byte {
	value := message[min(unix.SizeofIfInfomsg, len(message)):]
	for _, kind := range kinds {
		value = nested(value, kind)
	}
	return value
}

// nested returns the value of the first attribute of a kind in data (rtnetlink(7)).
func nested(data []byte, kind uint16) []byte {
	for len(data) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(data))
		if length < unix.SizeofRtAttr || length > len(data) {
			return nil
		}
		if binary.NativeEndian.Uint16(data[2:])&nl.NLA_TYPE_MASK == kind {
			return data[unix.SizeofRtAttr:length]
		}
		data = data[min(aligned(length), len(data)):]
	}
	return nil
}

func aligned(length int) int { return (length + unix.RTA_ALIGNTO - 1) &^ (unix.RTA_ALIGNTO - 1) }

// number returns the number that an attribute is, of one or four bytes, 0 for none.
func number(value []byte) int {
	switch len(value) {
	case 1:
		return int(value[0])
	case 4:
		return int(binary.NativeEndian.Uint32(value))
	}
	return 0
}

// nameIn returns the name of the link that a message is about.
func nameIn(message []byte) string {
	return unix.ByteSliceToString(attribute(message, unix.IFLA_IFNAME))
}

// headerOf returns what stands before the attributes of a link message.
func headerOf(message []byte) *nl.IfInfomsg { return nl.DeserializeIfInfomsg(message) }
