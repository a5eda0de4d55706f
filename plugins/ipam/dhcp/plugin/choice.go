// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"cmp"
	"net"
	"slices"
	"time"
)

// notice is what a router has announced.
type notice struct {
	message []byte
	router  net.IP
	routerAdvert
}

func (a notice) isOfSameRouter(other notice) bool { return a.router.Equal(other.router) }

// isDefault tells whether the router forwards what is not for the link.
func (a notice) isDefault() bool { return a.lifetime > 0 }

// follow takes what a router has just announced.
func (g *grant) follow(a notice) { g.RA, g.Router, g.Heard = a.message, a.router, bootTime() }

// heard returns the bootTime of the notice. A journal may not have it.
func (g *grant) heard() time.Duration { return cmp.Or(g.Heard, g.Since) }

// current is the announcement that the grant goes by.
func (g *grant) current() notice { return notice{g.RA, g.Router, parseRA(g.RA)} }

// stillRouted tells whether the router of the grant has said that it is the
// default router for now.
func (g *grant) stillRouted() bool { return bootTime() < g.heard()+g.current().lifetime }

// choosePrefix returns what to go on with of what routers say, for an address
// out of a prefix, or nil.
func choosePrefix(g *grant, heard []notice) *notice {
	return best(heard, func(a notice) int {
		ours := a.prefixOf(g.terms.address.IP)
		return points(ours.isUsable(), a.autonomous() != nil, ours != nil, a.isDefault(), a.router.Equal(g.Router))
	})
}

// chooseRouter returns what to go on with of what routers say, besides an
// address by DHCPv6, or nil. The router of the grant stays, unless it says that
// it is no default router any more and another one is. When it is silent, one
// takes its place that can fill it, or any if its time is over.
func chooseRouter(g *grant, heard []notice) *notice {
	present := heard
	if g.stillRouted() && !slices.ContainsFunc(heard, g.current().isOfSameRouter) {
		present = append(slices.Clone(heard), g.current())
	}
	return best(present, func(a notice) int {
		answered := slices.ContainsFunc(heard, a.isOfSameRouter)
		return points(a.isDefault(), a.onLink(g.terms.address.IP) != nil, answered, a.router.Equal(g.Router))
	})
}

// best returns the announcement with the most points, the first if there are
// several, or nil.
func best(heard []notice, points func(notice) int) *notice {
	if len(heard) == 0 {
		return nil
	}
	found := slices.MaxFunc(heard, func(a, b notice) int { return points(a) - points(b) })
	return &found
}

// points of the merits of something, the greatest first.
func points(merits ...bool) int {
	sum := 0
	for _, merit := range merits {
		sum *= 2
		if merit {
			sum++
		}
	}
	return sum
}
