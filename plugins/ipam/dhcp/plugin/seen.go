// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// The kernel drops the routes of a link that is set down, and its addresses of
// IPv6. When it is up again, and the lease confirmed, the link is given back what
// it had of the lease: the plugins have gone. That is not all of it, perhaps, nor in
// the main table, for others decide on that, too. So it is noted what there was.

// sighting is what the link had of a lease when it was last seen up.
type sighting struct {
	Configured bool   `json:"configured"` // it had the address
	Routes     []spot `json:"routes,omitempty"`
}

// spot is a table that had a route.
type spot struct {
	Dst   string `json:"dst"`
	Table int    `json:"table"`
}

const (
	// settling is how long plugins usually take to configure what they are told;
	// settled is when they are done for sure. In between, more may come to be seen.
	settling = 3 * time.Second
	settled  = time.Minute
	// putBackPause is between two attempts to give a link back what it lost.
	putBackPause = 10 * time.Second
	// kernelMetric6 is what the kernel gives the routes to subnets of IPv6.
	kernelMetric6 = 256
	// sbrGivenTable marks rules of sbr to a table that somebody else fills.
	sbrGivenTable = 68
)

func (l *lease) sighted() *sighting {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

// tend gives the link back what it has lost, and has a look at it when the plugins
// have configured it. It returns how long there is nothing to do.
func (l *lease) tend(g *grant) (time.Duration, error) {
	if !l.isReady() { // granted nudges us then
		return forever, nil
	}
	age := bootTime() - time.Duration(l.readyAt.Load())
	due := l.nextLook
	switch {
	case l.bounced && l.sighted() != nil:
		due = 0
	case l.bounced:
		due = settling
	}
	if wait := max(due-age, l.nextPutBack-bootTime()); wait > 0 {
		return wait, nil
	}
	l.nextLook = lookAfter(age)
	err := l.place.visit(l.hostPrefix, func(found netlink.Link) error { return l.tendTo(found, g) })
	if errors.Is(err, errGone) {
		return 0, err
	}
	if err != nil {
		l.logf("%s: %v", l.family, err)
		l.nextPutBack = bootTime() + putBackPause
	}
	return 0, nil
}

// lookAfter returns how old leases are when their link is to be looked at next.
func lookAfter(age time.Duration) time.Duration {
	for next := settling; next < settled; next *= 2 {
		if next > age {
			return next
		}
	}
	return forever
}

func (l *lease) tendTo(found netlink.Link, g *grant) error {
	if !l.bounced && l.revived && l.sighted() == nil {
		l.missBounce(found, g)
	}
	switch {
	case l.verify:
		return nil
	case l.bounced:
		if err := l.putBack(found, g); err != nil {
			return err
		}
		l.bounced = false
	}
	if l.observe(found, g) {
		l.saved(l.attachment)
	}
	return nil
}

// missBounce finds out whether the link was down while nobody watched. Then the
// server is to confirm the lease, as if it had been seen.
func (l *lease) missBounce(found netlink.Link, g *grant) {
	lost, err := l.missing(found, g)
	if err != nil {
		l.logf("%s: %v", l.family, err)
	}
	if lost.address || len(lost.routes) > 0 {
		l.bounced, l.verify, l.nextTry = true, true, 0
	}
}

// observe notes what the link has of a grant, unless it may have lost some of it
// just now. It tells whether that is news.
func (l *lease) observe(found netlink.Link, g *grant) bool {
	if l.bounced || l.wasUp.Load() || l.isDown.Load() || !isRunning(found.Attrs().RawFlags) {
		return false
	}
	now, err := l.sight(found, g)
	if err != nil {
		l.logf("%s: %v", l.family, err)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	isNews := !reflect.DeepEqual(l.seen, now)
	l.seen = now
	return isNews
}

func (l *lease) sight(found netlink.Link, g *grant) (*sighting, error) {
	now := new(sighting)
	var err error
	if now.Configured, err = l.hasAddress(found, g); err != nil || !now.Configured {
		return now, err
	}
	present, err := l.present(found)
	if err != nil {
		return now, err
	}
	for _, route := range present {
		ours, err := l.routesIn(found, route.Table, g)
		if err != nil {
			return now, err
		}
		if slices.ContainsFunc(ours, sameRoute(route)) {
			now.Routes = append(now.Routes, spotOf(route))
		}
	}
	return now, nil
}

func spotOf(route netlink.Route) spot { return spot{route.Dst.String(), route.Table} }

// loss is what a link lacks of a lease.
type loss struct {
	address bool
	routes  []netlink.Route
}

// missing returns what the link had of a grant and has no more. An address of IPv4
// outlives that the link is down; where there is none, it was not configured, or
// somebody has removed it.
func (l *lease) missing(found netlink.Link, g *grant) (loss, error) {
	var lost loss
	seen := l.sighted()
	if seen != nil && !seen.Configured {
		return lost, nil
	}
	has, err := l.hasAddress(found, g)
	if err != nil || !has && l.family == inet4 {
		return lost, err
	}
	wanted, err := l.wanted(found, g, seen)
	if err != nil {
		return lost, err
	}
	present, err := l.present(found)
	lost.address = !has
	lost.routes = slices.DeleteFunc(wanted, func(route netlink.Route) bool {
		return slices.ContainsFunc(present, func(other netlink.Route) bool { return other.Table == route.Table && sameRoute(route)(other) })
	})
	return lost, err
}

// wanted returns the routes that the link should have: those that were seen, or all
// that nobody has put others in the place of.
func (l *lease) wanted(found netlink.Link, g *grant, seen *sighting) ([]netlink.Route, error) {
	if seen == nil {
		tables, err := l.likelyTables(found, g)
		if err != nil {
			return nil, err
		}
		routes, err := l.routesOf(found, g, tables)
		return slices.DeleteFunc(routes, hasCompetitors), err
	}
	var tables []int
	for _, s := range seen.Routes {
		tables = append(tables, s.Table)
	}
	routes, err := l.routesOf(found, g, tables)
	return slices.DeleteFunc(routes, func(route netlink.Route) bool { return !slices.Contains(seen.Routes, spotOf(route)) }), err
}

// routesOf returns the routes of a grant in each of some tables.
func (l *lease) routesOf(found netlink.Link, g *grant, tables []int) ([]netlink.Route, error) {
	slices.Sort(tables)
	var all []netlink.Route
	for _, table := range slices.Compact(tables) {
		routes, err := l.routesIn(found, table, g)
		if err != nil {
			return nil, err
		}
		all = append(all, routes...)
	}
	return all, nil
}

func hasCompetitors(route netlink.Route) bool {
	others, err := competitors(route)
	return err != nil || slices.ContainsFunc(others, func(other netlink.Route) bool { return other.LinkIndex != route.LinkIndex })
}

// putBack gives the link what it has lost of a grant.
func (l *lease) putBack(found netlink.Link, g *grant) error {
	lost, err := l.missing(found, g)
	if err != nil {
		return err
	}
	if lost.address {
		if err := addAddress(found, g.terms.address); err != nil {
			return err
		}
		l.logf("%s: %s had lost %s when it was down: put back", l.family, found.Attrs().Name, &g.terms.address)
	}
	var errs []error
	for _, route := range lost.routes {
		if err := addRoute(route, nil); err != nil {
			errs = append(errs, fmt.Errorf("put back the route %s: %w", linkroutes.Text(route), err))
			continue
		}
		l.logf("%s: %s had lost the route %s when it was down: put back", l.family, found.Attrs().Name, linkroutes.Text(route))
	}
	return errors.Join(errs...)
}

// routesIn returns the routes of a grant in a table. Where the kernel does not make
// that to the subnet by itself, it is one of them: sbr has copied it.
func (l *lease) routesIn(found netlink.Link, table int, g *grant) ([]netlink.Route, error) {
	routes := l.kernelRoutes(found, table, g)
	own, err := ownTable(found)
	if err != nil || table == own {
		return routes, err
	}
	address := g.terms.address
	subnet := netlink.Route{
		LinkIndex: found.Attrs().Index, Table: table, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: address.IP.Mask(address.Mask), Mask: address.Mask},
	}
	if l.family == inet6 {
		subnet.Scope, subnet.Priority = netlink.SCOPE_UNIVERSE, kernelMetric6
	}
	return append([]netlink.Route{subnet}, routes...), nil
}

// ownTable is where the kernel has the routes of a link: the main table, or that
// of its VRF.
func ownTable(found netlink.Link) (int, error) {
	vrf, err := linkroutes.VRF(found)
	if err != nil || vrf == nil {
		return unix.RT_TABLE_MAIN, err
	}
	return int(vrf.Table), nil
}

// likelyTables returns where the routes of a grant are if nobody has seen them: in
// the table that sbr's rule for the address leads to, or else in that of the link.
// The table of a VRF keeps those that sbr copies.
func (l *lease) likelyTables(found netlink.Link, g *grant) ([]int, error) {
	own, err := ownTable(found)
	if err != nil {
		return nil, err
	}
	rules, err := netlinksafe.RuleList(l.family.netlink())
	if err != nil {
		return nil, fmt.Errorf("list the routing rules: %w", err)
	}
	var tables []int
	for _, rule := range rules {
		if isSBRs(rule) && rule.Src.IP.Equal(g.terms.address.IP) {
			tables = append(tables, rule.Table)
		}
	}
	if len(tables) == 0 || own != unix.RT_TABLE_MAIN {
		tables = append(tables, own)
	}
	return tables, nil
}

// isSBRs tells whether a rule looks like those of sbr, ours or the reference's, to a
// table that it fills: for one address, and for nothing else.
func isSBRs(rule netlink.Rule) bool {
	if rule.Src == nil || rule.Dst != nil || rule.IifName != "" || rule.OifName != "" || rule.Mark != 0 || rule.Invert || rule.Protocol == sbrGivenTable {
		return false
	}
	ones, bits := rule.Src.Mask.Size()
	return ones == bits && rule.Table != unix.RT_TABLE_UNSPEC
}

// usualTable is where the routes of grants were, or are most likely to have been.
func (l *lease) usualTable(found netlink.Link, grants []*grant) (int, error) {
	if l.home != 0 {
		return l.home, nil
	}
	if seen := l.sighted(); seen != nil && len(seen.Routes) > 0 {
		return seen.Routes[0].Table, nil
	}
	if len(grants) == 0 {
		return ownTable(found)
	}
	tables, err := l.likelyTables(found, grants[len(grants)-1])
	if err != nil {
		return 0, err
	}
	return tables[0], nil
}

// present returns the routes of the link in all tables.
func (l *lease) present(found netlink.Link) ([]netlink.Route, error) {
	all := &netlink.Route{LinkIndex: found.Attrs().Index, Table: unix.RT_TABLE_UNSPEC}
	routes, err := netlinksafe.RouteListFiltered(l.family.netlink(), all, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list the routes of %s: %w", found.Attrs().Name, err)
	}
	return routes, nil
}

func (l *lease) hasAddress(found netlink.Link, g *grant) (bool, error) {
	addresses, err := link.Addresses(found, l.family.netlink())
	return slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return a.IP.Equal(g.terms.address.IP) }), err
}

func (f family) netlink() int {
	if f == inet6 {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}
