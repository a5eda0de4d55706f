// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"encoding/binary"
	"iter"
	"math"
	"net"
	"net/netip"
	"strings"
)

// Range is a run of addresses of one subnet that may be assigned.
type Range struct {
	Subnet     netip.Prefix
	Start, End netip.Addr // both inclusive
	Gateway    netip.Addr // never assigned
}

// Contains tells whether ip is one of the range's addresses.
func (r Range) Contains(ip netip.Addr) bool {
	return r.Subnet.Contains(ip) && r.Start.Compare(ip) <= 0 && ip.Compare(r.End) <= 0
}

// Overlaps tells whether an address could be assigned from either range.
func (r Range) Overlaps(o Range) bool {
	return r.Contains(o.Start) || r.Contains(o.End) || o.Contains(r.Start) || o.Contains(r.End)
}

// String returns "start-end".
func (r Range) String() string { return r.Start.String() + "-" + r.End.String() }

// size returns the number of addresses in the range, or the largest number
// there is.
func (r Range) size() uint64 {
	start, end := r.Start.As16(), r.End.As16()
	if binary.BigEndian.Uint64(end[:8]) != binary.BigEndian.Uint64(start[:8]) {
		return math.MaxUint64
	}
	return saturatingAdd(binary.BigEndian.Uint64(end[8:])-binary.BigEndian.Uint64(start[8:]), 1)
}

// RangeSet is a pool of disjoint ranges of one family, out of which a container
// gets one address.
type RangeSet []Range

// String returns the ranges of the set, separated by commas.
func (s RangeSet) String() string {
	texts := make([]string, len(s))
	for i, r := range s {
		texts[i] = r.String()
	}
	return strings.Join(texts, ",")
}

// Overlaps tells whether an address could be assigned from either set.
func (s RangeSet) Overlaps(o RangeSet) bool {
	for _, r := range s {
		if _, overlaps := o.overlapping(r); overlaps {
			return true
		}
	}
	return false
}

// overlapping returns the first range of the set that overlaps r.
func (s RangeSet) overlapping(r Range) (Range, bool) {
	for _, candidate := range s {
		if candidate.Overlaps(r) {
			return candidate, true
		}
	}
	return Range{}, false
}

// without returns what is left of the ranges outside a subnet.
func (s RangeSet) without(excluded netip.Prefix) RangeSet {
	first, last := excluded.Addr(), lastAddress(excluded)
	var left RangeSet
	for _, r := range s {
		if r.Start.Less(first) {
			before := r
			if first.Compare(r.End) <= 0 {
				before.End = first.Prev()
			}
			left = append(left, before)
		}
		if last.Less(r.End) {
			behind := r
			if r.Start.Compare(last) <= 0 {
				behind.Start = last.Next()
			}
			left = append(left, behind)
		}
	}
	return left
}

// find returns the range that ip is in.
func (s RangeSet) find(ip netip.Addr) (Range, bool) {
	i := s.index(ip)
	if i < 0 {
		return Range{}, false
	}
	return s[i], true
}

// contains tells whether ip is an address of the set.
func (s RangeSet) contains(ip netip.Addr) bool { return s.index(ip) >= 0 }

func (s RangeSet) index(ip netip.Addr) int {
	for i, r := range s {
		if r.Contains(ip) {
			return i
		}
	}
	return -1
}

// size returns the number of addresses in the set, or the largest number there
// is.
func (s RangeSet) size() uint64 {
	var sum uint64
	for _, r := range s {
		sum = saturatingAdd(sum, r.size())
	}
	return sum
}

// after returns every address of the set once, with its range: round robin,
// beginning behind last, which comes last itself. If last is no address of the
// set, the first range's start is the beginning.
func (s RangeSet) after(last netip.Addr) iter.Seq2[netip.Addr, Range] {
	return func(yield func(netip.Addr, Range) bool) {
		first := position{0, s[0].Start}
		if i := s.index(last); i >= 0 {
			first = s.next(position{i, last})
		}
		for p := first; ; {
			if !yield(p.ip, s[p.index]) {
				return
			}
			if p = s.next(p); p == first {
				return
			}
		}
	}
}

// position is a place on the way through the addresses of a set.
type position struct {
	index int // of the range
	ip    netip.Addr
}

func (s RangeSet) next(p position) position {
	if p.ip != s[p.index].End {
		return position{p.index, p.ip.Next()}
	}
	i := (p.index + 1) % len(s)
	return position{i, s[i].Start}
}

func saturatingAdd(a, b uint64) uint64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxUint64
}

// lastAddress returns the address of subnet whose host bits are all ones.
func lastAddress(subnet netip.Prefix) netip.Addr {
	bytes := subnet.Masked().Addr().AsSlice()
	for bit := subnet.Bits(); bit < 8*len(bytes); bit++ {
		bytes[bit/8] |= 1 << (7 - bit%8)
	}
	ip, _ := netip.AddrFromSlice(bytes)
	return ip
}

// parseAddress parses an IP address the way the net package does: no zones, and
// an IPv4 address mapped into IPv6 is that IPv4 address.
func parseAddress(text string) (netip.Addr, bool) {
	ip, ok := netip.AddrFromSlice(net.ParseIP(text))
	return ip.Unmap(), ok
}
