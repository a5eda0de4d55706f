// SPDX-License-Identifier: Apache-2.0

// Package ip does arithmetic with IP addresses and, on Linux, gives network
// namespaces what IP needs: veth pairs, routes, forwarding and masquerading.
//
// Functions that ask or change the kernel work in the network namespace of the
// calling thread.
package ip

import (
	"fmt"
	"net"
	"strings"
)

// IP is an address with an optional prefix length, for configurations: in JSON
// it is a text like "10.1.2.3" or "10.1.2.3/24". Unlike a network it keeps its
// host bits. The zero value is no address; its text is empty.
type IP struct {
	net.IPNet
}

// ParseIP returns the address that s is, or nil if it is none.
func ParseIP(s string) *IP {
	if strings.Contains(s, "/") {
		addr, network, err := net.ParseCIDR(s)
		if err != nil {
			return nil
		}
		return &IP{net.IPNet{IP: addr, Mask: network.Mask}}
	}
	addr := net.ParseIP(s)
	if addr == nil {
		return nil
	}
	return &IP{net.IPNet{IP: addr}}
}

// ToIP returns the address without its prefix length, an IPv4 address as four bytes.
func (i *IP) ToIP() net.IP {
	if v4 := i.IP.To4(); v4 != nil {
		return v4
	}
	return i.IP
}

// String returns the text that ParseIP reads; that of net.IP, "<nil>", for the zero
// value.
func (i *IP) String() string {
	if len(i.IP) == 0 || len(i.Mask) == 0 {
		return i.IP.String()
	}
	return i.IPNet.String()
}

// MarshalText implements encoding.TextMarshaler. The zero value is an empty text.
func (i *IP) MarshalText() ([]byte, error) {
	if len(i.IP) == 0 {
		return []byte{}, nil
	}
	return []byte(i.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. An empty text is the zero
// value.
func (i *IP) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*i = IP{}
		return nil
	}
	parsed := ParseIP(string(text))
	if parsed == nil {
		return fmt.Errorf("%q is not an IP address with or without a prefix length", text)
	}
	*i = *parsed
	return nil
}
