// SPDX-License-Identifier: Apache-2.0

// Package subnet is arithmetic with subnets for what pkg/ip is too heavy for: it
// brings masquerading, and with that two netfilter libraries, into an executable.
package subnet

import (
	"net"
	"net/netip"
)

// Of returns the network of ipn, that is, a copy without host bits, or nil when
// ipn is not valid.
func Of(ipn *net.IPNet) *net.IPNet {
	if ipn == nil {
		return nil
	}
	first := ipn.IP.Mask(ipn.Mask)
	if len(first) == 0 {
		return nil
	}
	return &net.IPNet{IP: first, Mask: append(net.IPMask(nil), ipn.Mask...)}
}

// Unmapped is Of, but makes one of IPv4 out of one in the form of IPv6, such as
// ::ffff:10.9.0.0/112.
func Unmapped(ipn *net.IPNet) *net.IPNet {
	network := Of(ipn)
	if network == nil {
		return nil
	}
	if v4 := network.IP.To4(); v4 != nil && len(network.Mask) == net.IPv6len {
		return &net.IPNet{IP: v4, Mask: network.Mask[net.IPv6len-net.IPv4len:]}
	}
	return network
}

// Single returns the subnet that holds nothing but ip.
func Single(ip net.IP) *net.IPNet {
	if v4 := ip.To4(); v4 != nil {
		return &net.IPNet{IP: v4, Mask: net.CIDRMask(32, 32)}
	}
	return &net.IPNet{IP: ip, Mask: net.CIDRMask(128, 128)}
}

// Everything returns the subnet that holds all addresses of the family of ip.
func Everything(ip net.IP) *net.IPNet {
	if ip.To4() != nil {
		return &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	}
	return &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
}

// IsEverything tells whether ipn stands for all destinations: it is nil or has the
// prefix length 0.
func IsEverything(ipn *net.IPNet) bool {
	if ipn == nil {
		return true
	}
	ones, _ := ipn.Mask.Size()
	return ones == 0
}

// Next returns the address after ip; IPv4 addresses have 4 bytes. There is none,
// that is nil, after the last one of a family or for what is no address.
func Next(ip net.IP) net.IP {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap().Next().AsSlice()
}
