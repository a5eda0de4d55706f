// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sbr

import (
	"cmp"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

const (
	firstTable = 100

	// Protocols by which rules and routes say that they are ours. The kernel
	// has no use for the number, and no program that is known to use these.
	ownTable   = 67 // its table was filled by us; a route that was not moved, but added
	givenTable = 68 // somebody else fills the table

	// What upstream's rules have, and those of ip-rule.
	unspecified = unix.RTPROT_UNSPEC

	usualIPv6Metric = 1024 // of a route that is given none
)

// state is what there is in the container.
type state struct {
	link   int             // index of the interface
	inVRF  bool            // rather than in no domain of its own
	routes []netlink.Route // its own in the main table or that of its VRF, nearest first
	rules  []netlink.Rule
	used   map[int]bool    // tables
	all    []netlink.Route // of all interfaces and tables

	orphans []netlink.Route // its own where no rule leads
}

// plan is what has to be done, in this order.
type plan struct {
	rules  []netlink.Rule  // to add
	copies []netlink.Route // for the tables of the addresses
	set    []replacement   // default routes, hints
	remove []netlink.Route // from the main table
}

// replacement is a route with the one in whose place it is set, if there is one.
type replacement struct {
	route  netlink.Route
	before *netlink.Route
}

// plan gives each address a table, unless the configuration names one, with
// those of the interface's routes that are for its subnet, or for no subnet in
// particular. The main table loses them, but those of a family that no address is
// of: no rule would lead to them. That of a VRF is for this interface and its like,
// and keeps them all.
func (s *state) plan(ips []*current.IPConfig, c *Config) plan {
	var p plan
	if c.Table != nil {
		for _, ip := range ips {
			p.rules = append(p.rules, s.missingRule(ip, *c.Table, givenTable)...)
		}
		return p
	}
	for _, ip := range ips {
		table, missing := s.tableOf(ip, c.gatewayOf(ip))
		p.rules = append(p.rules, missing...)
		s.fill(&p, table, ip, c.gatewayOf(ip))
	}
	if s.inVRF {
		return p
	}
	p.remove = s.routesOf(ips...)
	if c.AddSourceHints {
		s.keepSubnets(&p, ips)
	}
	return p
}

// routesOf returns the interface's routes of the families of addresses.
func (s *state) routesOf(ips ...*current.IPConfig) (routes []netlink.Route) {
	for _, route := range s.routes {
		if isOfFamily(&route, ips...) {
			routes = append(routes, route)
		}
	}
	return routes
}

// isOfFamily tells whether a route is of the family of any of the addresses.
func isOfFamily(route *netlink.Route, ips ...*current.IPConfig) bool {
	return slices.ContainsFunc(ips, func(ip *current.IPConfig) bool { return isIPv4(ip.Address.IP) != isIPv6(route) })
}

// tableOf returns the table of an address: the one that it has from an earlier
// ADD, or one that nobody uses, with the rule that is missing. Somebody may have
// removed the rule of the former.
func (s *state) tableOf(ip *current.IPConfig, gateway net.IP) (table int, missing []netlink.Rule) {
	for _, rule := range s.rules {
		if isOwn(&rule) && isFrom(&rule, ip.Address.IP) && rule.Protocol == ownTable {
			return rule.Table, nil
		}
	}
	if table = orphaned(s.orphans, ip, gateway); table != 0 {
		s.orphans = slices.DeleteFunc(s.orphans, func(r netlink.Route) bool { return r.Table == table })
	} else {
		table = linkroutes.FreeTable(s.used, firstTable)
		s.used[table] = true
	}
	return table, s.missingRule(ip, table, ownTable)
}

// orphaned returns the first table of routes that is an address's, or else 0. The
// route to its neighbours tells that best, by its source or by the protocol: who
// says that the kernel has made it comes from the main table. Otherwise, a route
// that we have added tells.
func orphaned(routes []netlink.Route, ip *current.IPConfig, gateway net.IP) int {
	isNeighbours := func(r *netlink.Route) bool {
		isSubnets := r.Dst != nil && r.Dst.IP.Equal(ip.Address.IP.Mask(ip.Address.Mask)) && slices.Equal(r.Dst.Mask, ip.Address.Mask)
		return r.Gw == nil && (r.Src.Equal(ip.Address.IP) || r.Protocol == unix.RTPROT_KERNEL && isSubnets)
	}
	isOurs := func(r *netlink.Route) bool {
		return isAdded(*r) && (gateway != nil && isThrough(r, gateway) || r.Gw != nil && ip.Address.Contains(r.Gw))
	}
	for _, tells := range []func(*netlink.Route) bool{isNeighbours, isOurs} {
		first := 0
		for _, route := range routes {
			if isOfFamily(&route, ip) && tells(&route) && (first == 0 || route.Table < first) {
				first = route.Table
			}
		}
		if first != 0 {
			return first
		}
	}
	return 0
}

// missingRule returns the rule for an address, unless there is one.
func (s *state) missingRule(ip *current.IPConfig, table int, protocol uint8) []netlink.Rule {
	for _, rule := range s.rules {
		if isOwn(&rule) && isFrom(&rule, ip.Address.IP) && rule.Table == table {
			return nil
		}
	}
	rule := netlink.NewRule() // the kernel puts it in front of the others
	rule.Src = subnet.Single(ip.Address.IP)
	rule.Table = table
	rule.Protocol = protocol
	return []netlink.Rule{*rule}
}

// fill plans the routes of an address's table.
func (s *state) fill(p *plan, table int, ip *current.IPConfig, gateway net.IP) {
	network := subnet.Of(&ip.Address)
	var moved *netlink.Route // in the place of the one to add; has an MTU or the like, perhaps
	for _, route := range s.routesOf(ip) {
		inTable := linkroutes.InTable(route, table)
		isGateways := gateway != nil && linkroutes.IsDefault(route) && isThrough(&route, gateway)
		switch {
		case gateway != nil && isRival(&route, gateway):
			if isGateways {
				moved = &inTable
			}
		case isGateways || belongsTo(&route, network):
			p.copies = append(p.copies, inTable)
		}
	}
	switch {
	case moved != nil:
		s.set(p, *moved)
	case gateway != nil && !comesFirst(linkroutes.Of(slices.Concat(s.all, p.copies), s.link, table), gateway):
		s.set(p, *s.defaultRoute(table, gateway))
	}
}

// comesFirst tells whether one through gateway comes first of the default routes
// among routes.
func comesFirst(routes []netlink.Route, gateway net.IP) bool {
	defaults := slices.DeleteFunc(routes, func(r netlink.Route) bool { return !linkroutes.IsDefault(r) || isIPv6(&r) == isIPv4(gateway) })
	if len(defaults) == 0 {
		return false
	}
	first := slices.MinFunc(defaults, func(a, b netlink.Route) int { return cmp.Compare(metricOf(&a), metricOf(&b)) })
	return isThrough(&first, gateway)
}

// defaultRoute returns the default route to add. An unspecified gateway stands for
// the link itself, which the kernel takes 0.0.0.0 for, but not ::.
func (s *state) defaultRoute(table int, gateway net.IP) *netlink.Route {
	route := &netlink.Route{LinkIndex: s.link, Table: table, Protocol: ownTable}
	if !gateway.IsUnspecified() {
		route.Gw = gateway
		return route
	}
	route.Dst, route.Family = subnet.Everything(gateway), netlink.FAMILY_V4
	if !isIPv4(gateway) {
		route.Family = netlink.FAMILY_V6
	}
	return route
}

// isThrough tells whether a route leads through a gateway, or through none if that
// is unspecified.
func isThrough(route *netlink.Route, gateway net.IP) bool {
	if gateway.IsUnspecified() {
		return route.Gw == nil && route.Via == nil && len(route.MultiPath) == 0
	}
	return route.Gw.Equal(gateway)
}

// set plans to set a route, unless it is there.
func (s *state) set(p *plan, route netlink.Route) {
	for _, other := range linkroutes.Of(s.all, s.link, route.Table) {
		if !samePlace(&other, &route) {
			continue
		}
		if !other.Gw.Equal(route.Gw) || !other.Src.Equal(route.Src) {
			before := linkroutes.InTable(other, other.Table)
			p.set = append(p.set, replacement{route, &before})
		}
		return
	}
	p.set = append(p.set, replacement{route: route})
}

// samePlace tells whether the kernel would replace one of the routes by the
// other. An IPv6 route without a metric gets one that no other has.
func samePlace(a, b *netlink.Route) bool {
	sameDst := linkroutes.IsDefault(*a) && linkroutes.IsDefault(*b) || a.Dst != nil && b.Dst != nil && a.Dst.String() == b.Dst.String()
	return sameDst && isIPv6(a) == isIPv6(b) && metricOf(a) == metricOf(b)
}

// isIPv6 knows the family of routes from the kernel, and of those that we make.
func isIPv6(route *netlink.Route) bool {
	for _, ip := range []net.IP{route.Gw, route.Src} {
		if ip != nil {
			return !isIPv4(ip)
		}
	}
	return route.Family == netlink.FAMILY_V6
}

func metricOf(route *netlink.Route) int {
	if route.Priority == 0 && isIPv6(route) {
		return usualIPv6Metric
	}
	return route.Priority
}

// isRival tells whether a route is a default route that would stand in the place
// of the one through gateway.
func isRival(route *netlink.Route, gateway net.IP) bool {
	return samePlace(route, &netlink.Route{Gw: gateway})
}

// belongsTo tells whether a route is for packets of a subnet: by its source or
// its gateway, or because it says nothing of either.
func belongsTo(route *netlink.Route, network *net.IPNet) bool {
	gateways := []net.IP{route.Gw}
	for _, hop := range route.MultiPath {
		gateways = append(gateways, hop.Gw)
	}
	general := route.Src == nil
	for _, gateway := range gateways {
		if gateway != nil && network.Contains(gateway) {
			return true
		}
		general = general && gateway == nil
	}
	return general || route.Src != nil && network.Contains(route.Src)
}

// keepSubnets has the main table keep routes to the addresses' subnets. They
// name the source, so that what has none yet gets the right one.
func (s *state) keepSubnets(p *plan, ips []*current.IPConfig) {
	for _, ip := range hinted(ips) {
		s.set(p, netlink.Route{
			LinkIndex: s.link, Dst: subnet.Of(&ip.Address), Src: ip.Address.IP,
			Scope: netlink.SCOPE_LINK, Table: unix.RT_TABLE_MAIN, Protocol: ownTable,
		})
	}
	p.remove = nil
	for _, route := range s.routesOf(ips...) {
		if route.Scope != netlink.SCOPE_LINK {
			p.remove = append(p.remove, route)
		}
	}
}

// hinted returns the first address of each subnet. The main table has room for one
// route to a subnet.
func hinted(ips []*current.IPConfig) (first []*current.IPConfig) {
	seen := map[string]bool{}
	for _, ip := range ips {
		if network := subnet.Of(&ip.Address).String(); !seen[network] {
			seen[network] = true
			first = append(first, ip)
		}
	}
	return first
}

// isOwn tells whether a rule is ours, or could be upstream's: it looks at the
// source and nothing else.
func isOwn(rule *netlink.Rule) bool {
	plain := rule.Dst == nil && rule.IifName == "" && rule.OifName == "" && rule.Mark == 0 && rule.Tos == 0 && !rule.Invert &&
		rule.IPProto == 0 && rule.Sport == nil && rule.Dport == nil && rule.UIDRange == nil && rule.Goto < 0
	return plain && (rule.Protocol == ownTable || rule.Protocol == givenTable || rule.Protocol == unspecified)
}

// isFrom tells whether a rule is for packets from ip alone.
func isFrom(rule *netlink.Rule, ip net.IP) bool {
	if rule.Src == nil || !rule.Src.IP.Equal(ip) {
		return false
	}
	ones, bits := rule.Src.Mask.Size()
	return ones == bits
}
