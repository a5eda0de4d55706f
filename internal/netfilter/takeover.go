// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"net/netip"
)

// NotingTakeovers returns a context in which Masquerade with nftables, before it takes
// an address over from another owner, calls note with it: that one may be in another
// network, and live.
func NotingTakeovers(ctx context.Context, note func(netip.Addr)) context.Context {
	return context.WithValue(ctx, takeoverKey{}, note)
}

type takeoverKey struct{}

// noteTakeover is for who takes a subject over.
func noteTakeover(ctx context.Context, subject string) {
	note, _ := ctx.Value(takeoverKey{}).(func(netip.Addr))
	if addr, ok := netip.AddrFromSlice([]byte(subject)); ok && note != nil {
		note(addr)
	}
}
