// SPDX-License-Identifier: Apache-2.0

//go:build linux

package check

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

// Link compares the link that want names with what want says about it: its MAC
// address and MTU, where given, and its type, if kind is not empty. It returns
// the link, or nil after noting that there is none.
func (r *Report) Link(want *current.Interface, kind string) netlink.Link {
	found, err := link.Find(want.Name)
	if errors.Is(err, link.ErrNotFound) {
		r.Addf("%s: the interface is gone", want.Name)
		return nil
	}
	if err != nil {
		r.Fail(want.Name, err)
		return nil
	}
	r.Attributes(found, want, kind)
	return found
}

// Attributes compares a link with what want says about it, as Link does.
func (r *Report) Attributes(found netlink.Link, want *current.Interface, kind string) {
	attrs := found.Attrs()
	if kind != "" {
		r.Equal(want.Name, "type", kind, found.Type())
	}
	if want.Mac != "" {
		r.Equal(want.Name, "mac", conf.CanonicalMAC(want.Mac), attrs.HardwareAddr.String())
	}
	if want.Mtu != 0 {
		r.Equal(want.Name, "mtu", want.Mtu, attrs.MTU)
	}
}

// Up notes a link that is administratively down.
func (r *Report) Up(l netlink.Link) {
	if l.Attrs().Flags&net.FlagUp == 0 {
		r.Addf("%s: the interface is down", l.Attrs().Name)
	}
}

// Addresses notes every address of want that l does not have, or has and does not
// use, because it is a duplicate. Only addresses of the interface with the given
// index in the result count; those without an index belong to every interface. It
// returns those that are there.
func (r *Report) Addresses(l netlink.Link, index int, want []*current.IPConfig) (there []netlink.Addr) {
	have, err := netlinksafe.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		r.Fail(l.Attrs().Name, fmt.Errorf("list the addresses: %w", err))
		return nil
	}
	for _, ip := range want {
		if ip.Interface != nil && *ip.Interface != index {
			continue
		}
		found := findAddress(have, ip.Address)
		if found == nil {
			r.Addf("%s: the address %s is missing", l.Attrs().Name, ip.Address.String())
			continue
		}
		if found.Flags&unix.IFA_F_DADFAILED != 0 {
			r.Addf("%s: the address %s is in use by somebody else: duplicate address detection failed", l.Attrs().Name, ip.Address.String())
		}
		there = append(there, *found)
	}
	return there
}

// Subnets notes every subnet of an address of l that no route through l leads to,
// whether the kernel has made it or somebody another in its place.
func (r *Report) Subnets(l netlink.Link, addresses []netlink.Addr) {
	var subnets []net.IPNet
	for _, address := range addresses {
		network := subnet.Of(address.IPNet)
		if network != nil && address.Flags&unix.IFA_F_NOPREFIXROUTE == 0 && hasRouteOfItsOwn(*network) {
			subnets = append(subnets, *network)
		}
	}
	r.RouteThrough(l, subnets...)
}

// hasRouteOfItsOwn tells whether the kernel makes a route to the subnet of an
// address: not if that is alone in it, and not in 0.0.0.0/8.
func hasRouteOfItsOwn(network net.IPNet) bool {
	ones, bits := network.Mask.Size()
	return ones < bits && (!isIPv4(network) || network.IP.To4()[0] != 0)
}

// findAddress returns the one of have that is want, or nil.
func findAddress(have []netlink.Addr, want net.IPNet) *netlink.Addr {
	for i, addr := range have {
		if addr.IP.Equal(want.IP) && addr.Mask.String() == want.Mask.String() {
			return &have[i]
		}
	}
	return nil
}

// Routes notes every route of want that the kernel does not have. A route that
// names a table must be there; one that does not may be in any, because a later
// plugin of the chain may have moved it (sbr, vrf). What a route says about
// gateway, MTU, advertised MSS, priority and scope must hold.
func (r *Report) Routes(want []*types.Route) {
	r.routes(want, 0, func(route *types.Route) net.IP { return route.GW })
}

// RoutesThrough is Routes for a container that has no other interface than l: a route
// that names no gateway must lead there, through the gateway that gatewayOf tells, if
// any. Another attachment may have one like it.
func (r *Report) RoutesThrough(l netlink.Link, want []*types.Route, gatewayOf func(*types.Route) net.IP) {
	r.routes(want, l.Attrs().Index, gatewayOf)
}

func (r *Report) routes(want []*types.Route, linkIndex int, gatewayOf func(*types.Route) net.IP) {
	if len(want) == 0 {
		return
	}
	have, err := netlinksafe.UnicastRoutes()
	if err != nil {
		r.Addf("list the routes: %v", err)
		return
	}
	var before []*types.Route
	for _, named := range want {
		through := linkIndex
		if hasOwnGateway(named) {
			through = 0
		}
		route := *named
		route.GW = gatewayOf(named)
		if !hasRoute(have, &route, through) && !repeats(before, &route, have) {
			r.Addf("the route %s is missing", describe(&route))
		}
		before = append(before, &route)
	}
}

// repeats tells whether a route that the kernel has is one of before again, with
// another MTU or advertised MSS: such a one is not added.
func repeats(before []*types.Route, route *types.Route, have []netlink.Route) bool {
	bare := *route
	bare.MTU, bare.AdvMSS = 0, 0
	return hasRoute(have, &bare, 0) && slices.ContainsFunc(before, func(other *types.Route) bool {
		return other.Dst.String() == route.Dst.String() && other.Priority == route.Priority &&
			tableNumber(number(other.Table)) == tableNumber(number(route.Table)) && number(other.Scope) == number(route.Scope) &&
			(!hasOwnGateway(other) || !hasOwnGateway(route) || other.GW.Equal(route.GW))
	})
}

// number is 0 where a route does not say.
func number(field *int) int {
	if field == nil {
		return 0
	}
	return *field
}

// describe writes a route the way ip-route does.
func describe(route *types.Route) string {
	text := route.Dst.String()
	if hasOwnGateway(route) {
		text += " via " + route.GW.String()
	}
	for _, field := range []struct {
		name  string
		value int
	}{{"metric", route.Priority}, {"mtu", route.MTU}, {"advmss", route.AdvMSS}} {
		if field.value != 0 {
			text += fmt.Sprintf(" %s %d", field.name, field.value)
		}
	}
	if route.Table != nil {
		text += fmt.Sprintf(" table %d", *route.Table)
	}
	if route.Scope != nil {
		text += fmt.Sprintf(" scope %d", *route.Scope)
	}
	return text
}

// hasRoute tells whether have has the route that is wanted, through the link with an
// index; 0 is any.
func hasRoute(have []netlink.Route, want *types.Route, linkIndex int) bool {
	for i := range have {
		if matches(&have[i], want) && (linkIndex == 0 || leadsThrough(&have[i], linkIndex)) {
			return true
		}
	}
	return false
}

// The kernel makes a larger MTU or MSS of a route these (ip_metrics_convert).
const (
	largestMTU = 65535 - 15
	largestMSS = 65535 - 40
)

func matches(have *netlink.Route, want *types.Route) bool {
	switch {
	case !sameDestination(have, want):
	case want.Table != nil && tableNumber(*want.Table) != have.Table:
	case want.Priority != 0 && want.Priority != have.Priority:
	case want.MTU != 0 && min(want.MTU, largestMTU) != have.MTU:
	case want.AdvMSS != 0 && min(want.AdvMSS, largestMSS) != have.AdvMSS:
	case want.Scope != nil && isIPv4(want.Dst) && *want.Scope != int(have.Scope): // IPv6 routes have no scope
	case hasOwnGateway(want) && !hasGateway(have, want.GW):
	default:
		return true
	}
	return false
}

// hasOwnGateway tells whether a route goes through a gateway: 0.0.0.0 stands for
// the link itself (RFC 3442).
func hasOwnGateway(route *types.Route) bool { return route.GW != nil && !route.GW.IsUnspecified() }

// tableNumber returns the table that the kernel puts a route for table in.
func tableNumber(table int) int {
	if table == unix.RT_TABLE_UNSPEC {
		return unix.RT_TABLE_MAIN
	}
	return table
}

func hasGateway(have *netlink.Route, gw net.IP) bool {
	if have.Gw.Equal(gw) {
		return true
	}
	for _, hop := range have.MultiPath {
		if hop.Gw.Equal(gw) {
			return true
		}
	}
	return false
}

// sameDestination compares masked destinations; the kernel leaves out that of a
// default route.
func sameDestination(have *netlink.Route, want *types.Route) bool {
	wantOnes, _ := want.Dst.Mask.Size()
	if have.Dst == nil {
		return wantOnes == 0 && (have.Family == netlink.FAMILY_V4) == isIPv4(want.Dst)
	}
	haveOnes, _ := have.Dst.Mask.Size()
	return haveOnes == wantOnes && isIPv4(*have.Dst) == isIPv4(want.Dst) && have.Dst.IP.Equal(want.Dst.IP.Mask(want.Dst.Mask))
}

func isIPv4(n net.IPNet) bool { return n.IP.To4() != nil }

// RouteThrough notes every destination that no route through l leads to.
func (r *Report) RouteThrough(l netlink.Link, destinations ...net.IPNet) {
	if len(destinations) == 0 {
		return
	}
	have, err := netlinksafe.UnicastRoutes()
	if err != nil {
		r.Addf("list the routes: %v", err)
		return
	}
	have = slices.DeleteFunc(have, func(route netlink.Route) bool { return !leadsThrough(&route, l.Attrs().Index) })
	for _, dst := range destinations {
		if !hasRoute(have, &types.Route{Dst: dst}, 0) {
			r.Addf("the route to %s through %s is missing", dst.String(), l.Attrs().Name)
		}
	}
}

func leadsThrough(have *netlink.Route, linkIndex int) bool {
	return have.LinkIndex == linkIndex ||
		slices.ContainsFunc(have.MultiPath, func(hop *netlink.NexthopInfo) bool { return hop.LinkIndex == linkIndex })
}

// Forwarding notes it if the kernel does not forward packets of family's
// family.
func (r *Report) Forwarding(family net.IP) {
	version, key := netlink.FAMILY_V6, "net/ipv6/conf/all/forwarding"
	if family.To4() != nil {
		version, key = netlink.FAMILY_V4, "net/ipv4/ip_forward"
	}
	on, err := netlinksafe.Forwards(version)
	if err != nil {
		r.Fail(key, err)
		return
	}
	if !on {
		r.Addf("%s: forwarding is off, expected 1", key)
	}
}
