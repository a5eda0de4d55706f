// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package defaultroute knows the links that lead out of the current network
// namespace, for configurations that name none.
package defaultroute

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

// Link returns the link of the default route of a family, such as
// netlink.FAMILY_V4, or nil if there is none.
func Link(family int) (netlink.Link, error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST}
	routes, err := netlinksafe.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
	if err != nil {
		return nil, fmt.Errorf("look for the default route: %w", err)
	}
	if index := best(routes); index != 0 {
		return link.FindByIndex(index)
	}
	return nil, nil
}

// MTU returns the MTU that a configuration asks for. With "auto" it is that of the
// link that the default route leads to, the smaller one if those of IPv4 and IPv6
// have two, so that what containers send needs no fragments on its way out. Without a
// default route it is 0.
func MTU(asked conf.MTUOrAuto) (int, error) {
	if !asked.Auto {
		return asked.Bytes, nil
	}
	smallest := 0
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		found, err := Link(family)
		if err != nil {
			return 0, fmt.Errorf("mtu: %w", err)
		}
		if found != nil && (smallest == 0 || found.Attrs().MTU < smallest) {
			smallest = found.Attrs().MTU
		}
	}
	return smallest, nil
}

// best returns the index of the link that the best of the default routes
// leads to, the first one of a multipath route; 0 if there is none.
func best(routes []netlink.Route) int {
	index, metric := 0, 0
	for i := range routes {
		route := &routes[i]
		through := firstHop(route)
		if !subnet.IsEverything(route.Dst) || through == 0 || index != 0 && route.Priority >= metric {
			continue
		}
		index, metric = through, route.Priority
	}
	return index
}

func firstHop(route *netlink.Route) int {
	if route.LinkIndex != 0 || len(route.MultiPath) == 0 {
		return route.LinkIndex
	}
	return route.MultiPath[0].LinkIndex
}
