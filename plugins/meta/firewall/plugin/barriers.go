// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// To accept a packet in one table is not the last word, another can still drop
// it. Chains that do belong to the host's owner, and what they accept cannot be
// told for sure, unless they accept nothing at all. So they are mentioned, and
// the latter are an error of CHECK and, for both families, STATUS.

// warnOfBarriers mentions them on standard error. ADD looks at the usual ones: a
// host can have thousands of chains.
func warnOfBarriers(ctx context.Context, gate netfilter.Gate, p netfilter.Passage) {
	found, err := netfilter.UsualBarriers(ctx, p.Addrs)
	if err != nil {
		return // it is not what ADD is for
	}
	warn(withoutOwn(gate, found))
}

func warn(found []netfilter.Barrier) {
	for _, barrier := range found {
		plugin.Logf("firewall", "%s", explain(barrier))
	}
}

// passable fails if nothing can pass of either family, and mentions what may not:
// nobody knows whether there will be containers with both.
func passable(ctx context.Context, gate netfilter.Gate) error {
	families := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	found := barriers(ctx, gate, families)
	for _, family := range families {
		if !slices.ContainsFunc(found, func(b netfilter.Barrier) bool { return b.Closed && b.Meets(family) }) {
			warn(found)
			return nil
		}
	}
	var closed []error
	for _, barrier := range found {
		if barrier.Closed {
			closed = append(closed, errors.New(explain(barrier)))
		}
	}
	warn(slices.DeleteFunc(found, func(b netfilter.Barrier) bool { return b.Closed }))
	return errors.Join(closed...)
}

func barriers(ctx context.Context, gate netfilter.Gate, addrs []netip.Addr) []netfilter.Barrier {
	found, err := netfilter.AllBarriers(ctx, addrs)
	if err != nil {
		return nil
	}
	return withoutOwn(gate, found)
}

// withoutOwn leaves out the chains in which the gate itself, or firewalld for it,
// lets pass what has to.
func withoutOwn(gate netfilter.Gate, found []netfilter.Barrier) []netfilter.Barrier {
	return slices.DeleteFunc(found, func(b netfilter.Barrier) bool {
		switch gate.Name() {
		case netfilter.IPTables:
			return b.UsedByIPTables()
		case firewalld:
			return b.UsedByIPTables() || b.Table == "inet firewalld"
		}
		return false
	})
}

// explain says what a barrier is, and what to do about it.
func explain(b netfilter.Barrier) string {
	if b.UsedByIPTables() {
		return b.String() + ": accept the traffic of containers there, or use the backend iptables"
	}
	return b.String() + ": accept the traffic of containers there"
}
