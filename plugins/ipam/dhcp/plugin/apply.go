// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// apply makes the link follow a change of the terms. To configure it is the
// plugins' business, but after the first grant they have gone, and the server may
// change its mind while the container runs. What is new comes before what was
// goes, and nothing else is touched. It returns what did not go.
func (l *lease) apply(found netlink.Link, before []*grant, now *grant) (left []*grant, err error) {
	if !l.announced.Load() {
		return nil, setMTU(found, now.terms.mtu)
	}
	if len(before) == 0 { // it was taken off
		return nil, l.putOn(found, nil, now)
	}
	latest := before[len(before)-1]
	l.report(latest.terms, now.terms)
	if l.partial || len(before) > 1 {
		err = l.putOn(found, before, now)
	} else {
		err = l.change(found, latest, now)
	}
	if goneErr := l.takeOff(found, before, now); goneErr != nil {
		return others(before, now), errors.Join(err, goneErr)
	}
	return nil, err
}

// putOn gives the link everything of a grant. What it has already is no error.
func (l *lease) putOn(found netlink.Link, before []*grant, now *grant) error {
	return errors.Join(setMTU(found, now.terms.mtu), addAddress(found, now.terms.address), l.addRoutes(found, before, now))
}

// change gives the link what is new in a grant.
func (l *lease) change(found netlink.Link, before, now *grant) error {
	var errs []error
	if before.terms.mtu != now.terms.mtu { // else it may be somebody's decision that the link has another
		errs = append(errs, setMTU(found, now.terms.mtu))
	}
	moved := !sameNetwork(before.terms.address, now.terms.address)
	if moved {
		errs = append(errs, addAddress(found, now.terms.address))
	}
	if moved || !reflect.DeepEqual(before.terms.routes, now.terms.routes) {
		errs = append(errs, l.addRoutes(found, []*grant{before}, now))
	}
	return errors.Join(errs...)
}

// takeOff removes the addresses of grants, and their routes, but for what another
// has, too, if there is one.
func (l *lease) takeOff(found netlink.Link, before []*grant, now *grant) error {
	errs := []error{l.removeRoutes(found, before, now)}
	for _, g := range before {
		if now == nil || !sameNetwork(g.terms.address, now.terms.address) {
			errs = append(errs, link.RemoveAddressAlone(found, netlink.Addr{IPNet: &g.terms.address}))
		}
	}
	return errors.Join(errs...)
}

// others returns grants that have something that now has not, each once.
func others(before []*grant, now *grant) []*grant {
	var list []*grant
	for _, g := range before {
		same := func(other *grant) bool {
			return sameNetwork(g.terms.address, other.terms.address) && reflect.DeepEqual(g.terms.routes, other.terms.routes)
		}
		if !same(now) && !slices.ContainsFunc(list, same) {
			list = append(list, g)
		}
	}
	return list
}

// report logs what changes: nobody else gets to know of it.
func (l *lease) report(before, now terms) {
	for _, change := range []struct {
		what     string
		was, now any
	}{
		{"the address", before.address.String(), now.address.String()},
		{"the gateway", before.gateway.String(), now.gateway.String()},
		{"the routes", describeRoutes(before.routes), describeRoutes(now.routes)},
		{"the MTU", before.mtu, now.mtu},
		{"the DNS configuration", before.dns, now.dns},
	} {
		if !reflect.DeepEqual(change.was, change.now) {
			l.logf("%s: the server changes %s from %v to %v; the runtime does not know", l.family, change.what, change.was, change.now)
		}
	}
}

func describeRoutes(routes []*types.Route) []string {
	var list []string
	for _, route := range routes {
		list = append(list, fmt.Sprintf("%s via %s", &route.Dst, route.GW))
	}
	return list
}

func setMTU(found netlink.Link, mtu int) error {
	if mtu == 0 || mtu == found.Attrs().MTU {
		return nil
	}
	if err := netlink.LinkSetMTU(found, mtu); err != nil {
		return fmt.Errorf("give %s the MTU %d: %w", found.Attrs().Name, mtu, err)
	}
	return nil
}

func sameNetwork(a, b net.IPNet) bool {
	return a.IP.Equal(b.IP) && slices.Equal(a.Mask, b.Mask)
}

// addAddress returns when the address is usable, or cannot become so.
func addAddress(found netlink.Link, address net.IPNet) error {
	err := link.AddAddress(found, &address, false)
	if errors.Is(err, unix.EEXIST) {
		err = resizeAddress(found, address)
	}
	if err != nil {
		return err
	}
	if address.IP.To4() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), usableTimeout)
	defer cancel()
	return link.WaitDAD(ctx, found.Attrs().Index)
}

// resizeAddress gives an address that is on the link the wanted prefix length.
// Of IPv6, the kernel takes an address only once per link, with one length; it
// has been used, and needs no detection of others who have it.
func resizeAddress(found netlink.Link, address net.IPNet) error {
	addresses, err := link.Addresses(found, netlink.FAMILY_V6)
	if err != nil {
		return err
	}
	for _, other := range addresses {
		if !other.IP.Equal(address.IP) || sameNetwork(*other.IPNet, address) {
			continue
		}
		if err := link.RemoveAddresses(found, []netlink.Addr{other}); err != nil {
			return err
		}
		return link.AddAddress(found, &address, true)
	}
	return nil
}

// usableTimeout is longer than the kernel takes to find out whether somebody
// else has an address of IPv6.
const usableTimeout = 5 * time.Second

// addRoutes adds the routes of a grant that are missing.
func (l *lease) addRoutes(found netlink.Link, before []*grant, now *grant) error {
	table, err := l.table(found, before)
	if err != nil {
		return err
	}
	was := l.kernelRoutes(found, table, before...)
	var errs []error
	for _, route := range l.kernelRoutes(found, table, now) {
		if err := addRoute(route, was); err != nil {
			errs = append(errs, fmt.Errorf("add the route to %s via %s: %w", route.Dst, route.Gw, err))
		}
	}
	return errors.Join(errs...)
}

// removeRoutes removes the routes that were of the lease and are not any more.
func (l *lease) removeRoutes(found netlink.Link, before []*grant, now *grant) error {
	unwanted := l.kernelRoutes(found, unix.RT_TABLE_MAIN, before...)
	if now != nil {
		wanted := l.kernelRoutes(found, unix.RT_TABLE_MAIN, now)
		unwanted = slices.DeleteFunc(unwanted, func(r netlink.Route) bool { return slices.ContainsFunc(wanted, sameRoute(r)) })
	}
	if len(unwanted) == 0 {
		return nil
	}
	table, err := l.table(found, before)
	if err != nil {
		return err
	}
	if now == nil {
		l.home = table
	}
	var errs []error
	for _, route := range slices.Backward(unwanted) {
		route.Table = table
		if err := netlink.RouteDel(&route); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove the route to %s via %s: %w", route.Dst, route.Gw, err))
		}
	}
	return errors.Join(errs...)
}

// table returns the routing table that has the routes of grants: sbr and vrf move
// them to one of their own. Where there are none, it is that in which they were.
func (l *lease) table(found netlink.Link, grants []*grant) (int, error) {
	of := l.kernelRoutes(found, unix.RT_TABLE_MAIN, grants...)
	if len(of) == 0 {
		return l.usualTable(found, grants)
	}
	present, err := l.present(found)
	if err != nil {
		return 0, err
	}
	for _, route := range slices.Backward(of) { // those through gateways first: no other is like them
		if i := slices.IndexFunc(present, sameRoute(route)); i >= 0 {
			return present[i].Table, nil
		}
	}
	return l.usualTable(found, grants)
}

// addRoute adds a route next to others to the same destination. It comes first
// only where one of the lease did: the container may have another interface
// whose routes are preferred.
func addRoute(route netlink.Route, former []netlink.Route) error {
	others, err := competitors(route)
	if err != nil || slices.ContainsFunc(others, sameRoute(route)) {
		return err
	}
	if len(others) > 0 && slices.ContainsFunc(former, sameRoute(others[0])) && route.Dst.IP.To4() != nil {
		return netlink.RouteAddEcmp(&route) // puts it in front
	}
	if err := netlink.RouteAppend(&route); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// competitors returns the routes with the destination and the metric of route,
// in the order in which the kernel prefers them.
func competitors(route netlink.Route) ([]netlink.Route, error) {
	family := netlink.FAMILY_V4
	if route.Dst.IP.To4() == nil {
		family = netlink.FAMILY_V6
	}
	routes, err := netlinksafe.RouteListFiltered(family, &route, netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
	return slices.DeleteFunc(routes, func(other netlink.Route) bool { return other.Priority != route.Priority }), err
}

func sameRoute(a netlink.Route) func(netlink.Route) bool {
	return func(b netlink.Route) bool {
		return a.LinkIndex == b.LinkIndex && a.Dst.String() == b.Dst.String() && a.Gw.Equal(b.Gw) && a.Priority == b.Priority
	}
}

// kernelRoutes returns the routes of grants as the kernel has them: those to what
// is on the link first, by which it reaches the gateways of others.
func (l *lease) kernelRoutes(found netlink.Link, table int, grants ...*grant) []netlink.Route {
	var routes []*types.Route
	for _, g := range grants {
		routes = append(routes, g.terms.routes...)
	}
	var list []netlink.Route
	for _, route := range routes {
		r := netlink.Route{
			LinkIndex: found.Attrs().Index, Dst: &route.Dst, Gw: route.GW,
			Table: table, Priority: l.config.IPAM.Priority,
		}
		if r.Priority == 0 && l.family == inet6 {
			r.Priority = defaultMetric6
		}
		if route.Scope != nil { // on the link: there is no gateway
			r.Scope, r.Gw = netlink.Scope(*route.Scope), nil
		}
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b netlink.Route) int { return int(b.Scope) - int(a.Scope) })
	return list
}

// defaultMetric6 is what the kernel makes of the metric 0 of a route of IPv6.
const defaultMetric6 = 1024
