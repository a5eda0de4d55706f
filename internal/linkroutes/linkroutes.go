// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package linkroutes moves the routes of a link from one routing table to
// another, for plugins that give an interface tables of its own (sbr, vrf). Its
// functions work in the network namespace of the calling thread.
package linkroutes

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/filelock"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

// Locked runs fn in the container's network namespace while no other plugin that
// chooses a table does anything there. The lock is one on the namespace itself
// (flock(2)), which upstream's sbr takes, too. Any process of the container can
// take it as well: who does not give it up within maxWait is not waited for.
func Locked(req *plugin.Request, fn func() error) (err error) {
	netns := req.Netns.NS().Fd()
	switch lockErr := filelock.LockWithin(netns, maxWait); {
	case lockErr == nil:
		defer func() { err = errors.Join(err, filelock.Unlock(netns)) }()
	case errors.Is(lockErr, os.ErrDeadlineExceeded):
		plugin.Logf(req.Plugin, "somebody holds the lock on the network namespace %s: went on without after %s", req.Netns.Path(), maxWait)
	default:
		return fmt.Errorf("lock the network namespace %s: %w", req.Netns.Path(), lockErr)
	}
	return req.InNetns(fn)
}

// maxWait is much more than what commands need that hold the lock.
const maxWait = 5 * time.Second

// All returns the routes of every table and both families.
func All() ([]netlink.Route, error) {
	routes, err := netlinksafe.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	return routes, nil
}

// Of returns what is the link's of the routes in a table: those that lead through
// no other, and its shares of the others.
func Of(routes []netlink.Route, linkIndex, table int) []netlink.Route {
	return slices.Concat(Through(routes, linkIndex, table), Shares(routes, linkIndex, table))
}

// Through picks those of routes that are in a table and lead through the link
// with the given index, and through no other.
func Through(routes []netlink.Route, linkIndex, table int) []netlink.Route {
	var picked []netlink.Route
	for _, route := range routes {
		if route.Table == table && leadsThrough(&route, linkIndex) {
			picked = append(picked, route)
		}
	}
	return picked
}

// ThroughInOthers picks those of routes that are in any other table than the given
// one and the kernel's own, and lead through the link and no other.
func ThroughInOthers(routes []netlink.Route, linkIndex, table int) []netlink.Route {
	var picked []netlink.Route
	for _, route := range routes {
		if route.Table != table && route.Table != unix.RT_TABLE_LOCAL && leadsThrough(&route, linkIndex) {
			picked = append(picked, route)
		}
	}
	return picked
}

func leadsThrough(route *netlink.Route, linkIndex int) bool {
	if len(route.MultiPath) == 0 {
		return route.LinkIndex == linkIndex
	}
	return !slices.ContainsFunc(route.MultiPath, func(hop *netlink.NexthopInfo) bool { return hop.LinkIndex != linkIndex })
}

// Shares returns, of the IPv6 routes of a table that lead through the link and
// others as well, the part that leads through the link. The kernel keeps, adds
// and removes it like a route of its own. (The parts of an IPv4 route are one.)
func Shares(routes []netlink.Route, linkIndex, table int) []netlink.Route {
	var shares []netlink.Route
	for _, route := range routes {
		if route.Table != table || route.Family != netlink.FAMILY_V6 || leadsThrough(&route, linkIndex) {
			continue
		}
		for _, hop := range route.MultiPath {
			if hop.LinkIndex == linkIndex {
				share := route
				share.MultiPath, share.LinkIndex, share.Gw, share.Flags = nil, hop.LinkIndex, hop.Gw, hop.Flags
				share.Protocol = unix.RTPROT_UNSPEC // the kernel tells that of the first part alone
				shares = append(shares, share)
			}
		}
	}
	return shares
}

// InTable returns route as one for another table. What the kernel has noted
// about it ("linkdown") is left out: it does not take that back.
func InTable(route netlink.Route, table int) netlink.Route {
	route.Table = table
	route.Flags &= unix.RTNH_F_ONLINK
	var hops []*netlink.NexthopInfo
	for _, hop := range route.MultiPath {
		changed := *hop
		changed.Flags &= unix.RTNH_F_ONLINK
		hops = append(hops, &changed)
	}
	route.MultiPath = hops
	return route
}

// NearestFirst sorts routes so that each comes after those by which its gateway
// is reached.
func NearestFirst(routes []netlink.Route) {
	slices.SortStableFunc(routes, func(a, b netlink.Route) int { return distance(&a) - distance(&b) })
}

func distance(route *netlink.Route) int {
	if route.Gw == nil && route.Via == nil && len(route.MultiPath) == 0 {
		return 0
	}
	return 1
}

// Add adds a route beside others to the same destination. It returns false if
// the very same one was there already.
func Add(route netlink.Route) (added bool, err error) {
	err = netlink.RouteAppend(&route)
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("add the route %s: %w", Text(route), err)
	}
	return true, nil
}

// IsKernels tells whether the kernel makes and removes a route, along with an
// address. In the table of a VRF they stand among the others.
func IsKernels(route netlink.Route) bool {
	switch route.Type {
	case unix.RTN_LOCAL, unix.RTN_BROADCAST, unix.RTN_ANYCAST, unix.RTN_MULTICAST:
		return true
	}
	return false
}

// VRF returns the VRF that a link is in, or nil if it is in none. In one, the link's
// routes are in the VRF's table rather than in the main one.
func VRF(l netlink.Link) (*netlink.Vrf, error) {
	if l.Attrs().MasterIndex == 0 {
		return nil, nil
	}
	master, err := link.FindByIndex(l.Attrs().MasterIndex)
	if link.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	vrf, _ := master.(*netlink.Vrf) // or a bond, a bridge ...
	return vrf, nil
}

// LacksSource tells whether err may be the kernel's refusal to add a route because
// it does not know the route's source as an address: that of a link in a VRF is
// for IPv4 known in the VRF's table alone, one of IPv6 when it is unique.
func LacksSource(route netlink.Route, err error) bool {
	return errors.Is(err, unix.EINVAL) && route.Src != nil
}

// Remove removes a route. It returns false if there was none: the kernel takes
// some along with others.
func Remove(route netlink.Route) (removed bool, err error) {
	route = InTable(route, route.Table)
	err = netlink.RouteDel(&route)
	if errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove the route %s: %w", Text(route), err)
	}
	return true, nil
}

// Text writes a route the way ip-route does.
func Text(route netlink.Route) string {
	text := "default"
	if !IsDefault(route) {
		text = route.Dst.String()
	}
	if route.Gw != nil {
		text += " via " + route.Gw.String()
	}
	return fmt.Sprintf("%s in table %d", text, route.Table)
}

// IsDefault tells whether a route is a default route.
func IsDefault(route netlink.Route) bool { return subnet.IsEverything(route.Dst) }

// TablesInUse returns the numbers of the tables that have routes, are looked up
// by a rule, or belong to a VRF.
func TablesInUse(routes []netlink.Route, rules []netlink.Rule) (map[int]bool, error) {
	used := map[int]bool{}
	for _, route := range routes {
		used[route.Table] = true
	}
	for _, rule := range rules {
		used[rule.Table] = true
	}
	links, err := netlinksafe.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the links: %w", err)
	}
	for _, l := range links {
		if vrf, ok := l.(*netlink.Vrf); ok {
			used[int(vrf.Table)] = true
		}
	}
	return used, nil
}

// FreeTable returns the lowest number from first on that is not in used, nor
// one of those that mean something to the kernel.
func FreeTable(used map[int]bool, first int) int {
	for table := first; ; table++ {
		if !used[table] && (table < unix.RT_TABLE_DEFAULT || table > unix.RT_TABLE_LOCAL) {
			return table
		}
	}
}
