// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"net/netip"
	"slices"

	"github.com/containernetworking/plugins/internal/wholefile"
)

// full returns those sets that have no address left.
func (d directory) full(sets []RangeSet) ([]RangeSet, error) {
	names, err := readNames(d.path())
	if wholefile.IsAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if full := fullSets(sets, addresses(names)); len(full) == 0 {
		return nil, nil
	}
	// An ADD would free what nobody has. A runtime that hears that we are full may
	// never send that ADD.
	s, err := d.open()
	if err != nil {
		return nil, ignoreAbsent(err)
	}
	defer s.Close()
	full := sets
	for _, reclaim := range s.reclaims() {
		if _, err := reclaim(); err != nil {
			return nil, err
		}
		taken, err := s.taken()
		if err != nil {
			return nil, err
		}
		if full = fullSets(sets, taken); len(full) == 0 {
			return nil, nil
		}
	}
	return full, nil
}

func fullSets(sets []RangeSet, taken map[netip.Addr]bool) []RangeSet {
	var full []RangeSet
	for _, set := range sets {
		if isFull(set, sets, taken) {
			full = append(full, set)
		}
	}
	return full
}

// isFull does not look at single addresses where there are more of them than
// could be taken.
func isFull(set RangeSet, sets []RangeSet, taken map[netip.Addr]bool) bool {
	gateways := 0
	for _, s := range sets {
		gateways += len(s)
	}
	if set.size() > uint64(len(taken)+gateways) {
		return false
	}
	for ip, r := range set.after(netip.Addr{}) {
		if !taken[ip] && !isGateway(ip, r, sets) {
			return false
		}
	}
	return true
}

// isGateway tells whether ip, of range r, is a gateway of r's subnet. Ranges may
// share one, so that the gateway of one may lie in another.
func isGateway(ip netip.Addr, r Range, sets []RangeSet) bool {
	return slices.ContainsFunc(sets, func(set RangeSet) bool {
		return slices.ContainsFunc(set, func(o Range) bool { return o.Gateway == ip && o.Subnet == r.Subnet })
	})
}
