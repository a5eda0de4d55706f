// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
)

// Frame is an Ethernet frame as it is on the wire.
type Frame struct {
	Data     []byte // from the destination address on, VLAN tags included
	Outgoing bool   // sent by the link it was seen on, not received
}

// EthernetFrame puts a frame together, with a VLAN tag (IEEE 802.1Q) for each
// of the vlans, outermost first.
func EthernetFrame(dst, src net.HardwareAddr, etherType uint16, payload []byte, vlans ...uint16) []byte {
	data := append(append([]byte{}, dst...), src...)
	for _, vlan := range vlans {
		data = appendTag(data, tpid8021Q, vlan)
	}
	return append(binary.BigEndian.AppendUint16(data, etherType), payload...)
}

// EtherTypes that announce a VLAN tag.
const (
	tpid8021Q  = 0x8100
	tpid8021AD = 0x88a8
)

func appendTag(data []byte, tpid, tci uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(data, tpid), tci)
}

// Dst is the destination address.
func (f Frame) Dst() net.HardwareAddr { return net.HardwareAddr(f.at(0, 6)) }

// Src is the source address.
func (f Frame) Src() net.HardwareAddr { return net.HardwareAddr(f.at(6, 12)) }

// VLANs are the ids of the VLAN tags, outermost first.
func (f Frame) VLANs() []uint16 {
	var ids []uint16
	for at := 12; f.isTag(at); at += 4 {
		ids = append(ids, f.uint16(at+2)&0xfff)
	}
	return ids
}

// EtherType is the type of the payload, after any VLAN tags.
func (f Frame) EtherType() uint16 { return f.uint16(f.typeAt()) }

// Payload is what follows the EtherType.
func (f Frame) Payload() []byte {
	return f.Data[min(f.typeAt()+2, len(f.Data)):]
}

func (f Frame) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s > %s", f.Src(), f.Dst())
	for _, vlan := range f.VLANs() {
		fmt.Fprintf(&text, " vlan %d", vlan)
	}
	fmt.Fprintf(&text, " type %#04x, %d bytes", f.EtherType(), len(f.Data))
	return text.String()
}

// typeAt is where the EtherType of the payload is.
func (f Frame) typeAt() int {
	at := 12
	for f.isTag(at) {
		at += 4
	}
	return at
}

func (f Frame) isTag(at int) bool {
	tpid := f.uint16(at)
	return tpid == tpid8021Q || tpid == tpid8021AD
}

func (f Frame) uint16(at int) uint16 {
	if field := f.at(at, at+2); len(field) == 2 {
		return binary.BigEndian.Uint16(field)
	}
	return 0
}

// at is a part of the data, shorter where that ends.
func (f Frame) at(from, to int) []byte {
	return f.Data[min(from, len(f.Data)):min(to, len(f.Data))]
}
