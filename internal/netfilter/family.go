// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// family is what there is to know of IPv4 or IPv6.
type family struct {
	table     nftables.TableFamily
	address   nftables.SetDatatype
	saddr     uint32 // offset of the source address in the network header
	daddr     uint32
	multicast netip.Prefix
	variant   string // of the iptables programs: "", "-legacy" or "-nft"
}

// families returns both. The tables are of the families ip and ip6, not inet,
// in which NAT needs Linux 5.2.
func families() []family {
	return []family{
		{table: nftables.TableFamilyIPv4, address: nftables.TypeIPAddr, saddr: 12, daddr: 16, multicast: netip.MustParsePrefix("224.0.0.0/4")},
		{table: nftables.TableFamilyIPv6, address: nftables.TypeIP6Addr, saddr: 8, daddr: 24, multicast: netip.MustParsePrefix("ff00::/8")},
	}
}

func (f family) isIPv4() bool { return f.table == nftables.TableFamilyIPv4 }

// prefixes returns the family's addresses with their prefix lengths, each once.
func (f family) prefixes(addrs []*net.IPNet) []netip.Prefix {
	var list []netip.Prefix
	seen := map[netip.Addr]bool{}
	for _, ipn := range addrs {
		addr, ok := netip.AddrFromSlice(ipn.IP)
		addr = addr.Unmap()
		if !ok || addr.Is4() != f.isIPv4() || seen[addr] {
			continue
		}
		seen[addr] = true
		ones, bits := ipn.Mask.Size()
		list = append(list, netip.PrefixFrom(addr, ones-bits+addr.BitLen()))
	}
	return list
}

// singles returns the family's addresses as prefixes of nothing but themselves,
// each once.
func (f family) singles(addrs []netip.Addr) []netip.Prefix {
	var list []netip.Prefix
	for _, addr := range addrs {
		prefix := netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		if addr.Unmap().Is4() == f.isIPv4() && !slices.Contains(list, prefix) {
			list = append(list, prefix)
		}
	}
	return list
}

// load loads the address at an offset of the network header.
func (f family) load(offset, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.address.Bytes}
}

// isTo loads the leading bits of the destination.
func (f family) isTo(register uint32, bits int) []expr.Any {
	return f.prefixOf(f.daddr, register, bits)
}

// prefixOf loads the leading bits of the address at an offset.
func (f family) prefixOf(offset, register uint32, bits int) []expr.Any {
	size := f.address.Bytes
	load := f.load(offset, register)
	if bits == int(size)*8 {
		return []expr.Any{load}
	}
	mask := net.CIDRMask(bits, int(size)*8)
	return []expr.Any{load, &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: size, Mask: mask, Xor: make([]byte, size)}}
}
