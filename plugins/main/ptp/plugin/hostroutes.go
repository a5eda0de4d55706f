// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ptp

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// routeToContainer gives the host its routes to the container. A route that a
// dead container left is replaced: traffic would go on to a device nobody listens
// at.
func routeToContainer(pair *vethpair.Pair, plan routePlan) error {
	err := link.Apply(through(pair.Host, plan.host, link.FirstRoute)...)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := spareOthers(pair, plan); err != nil {
		return err
	}
	return link.Apply(through(pair.Host, plan.host, link.ReplaceRoute)...)
}

// spareOthers refuses to replace any route but those of dead containers: nobody
// would put it back.
func spareOthers(pair *vethpair.Pair, plan routePlan) error {
	routes, err := netlinksafe.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("look who has the route to the container: %w", err)
	}
	for _, route := range routes {
		if route.LinkIndex == pair.Host.Attrs().Index || !isInTheWay(route, plan) {
			continue
		}
		if err := spare(route); err != nil {
			return err
		}
	}
	return nil
}

// isInTheWay tells whether the kernel would put one of the planned routes in the
// place of a route.
func isInTheWay(route netlink.Route, plan routePlan) bool {
	priority := 0
	if route.Family == netlink.FAMILY_V6 {
		priority = 1024 // what the kernel makes of none: IP6_RT_PRIO_USER
	}
	return route.Dst != nil && route.Priority == priority && hasDestination(plan.host, route.Dst)
}

// spare says why a route may not be replaced, unless it is one to a dead container:
// straight through a veth without a carrier, whose other end is not up.
func spare(route netlink.Route) error {
	device, err := onlyDevice(route)
	switch {
	case link.IsNotFound(err): // by now, and with it the route
		return nil
	case err != nil:
		return fmt.Errorf("look where the route to %s leads: %w", route.Dst.IP, err)
	case device == nil || device.Type() != "veth":
		return plugin.Errorf(types.ErrTryAgainLater, "the host has another route to %s (%s); delete that first, or use another address",
			route.Dst.IP, direction(route))
	case device.Attrs().RawFlags&unix.IFF_LOWER_UP != 0:
		return plugin.Errorf(types.ErrTryAgainLater, "%s is the address of %s behind %s; detach that first, or use another address",
			route.Dst.IP, cmp.Or(device.Attrs().Alias, "a container"), device.Attrs().Name)
	}
	return nil
}

// onlyDevice returns the link at whose other end the destination of a route is, or nil
// if the route leads to none, through several, or by way of a gateway.
func onlyDevice(route netlink.Route) (netlink.Link, error) {
	if route.Type != unix.RTN_UNICAST || route.Gw != nil || route.Via != nil || route.LinkIndex == 0 {
		return nil, nil
	}
	return link.FindByIndex(route.LinkIndex)
}

// direction describes where a route leads, as ip-route(8) does.
func direction(route netlink.Route) string {
	switch route.Type {
	case unix.RTN_BLACKHOLE:
		return "blackhole"
	case unix.RTN_UNREACHABLE:
		return "unreachable"
	case unix.RTN_PROHIBIT:
		return "prohibit"
	case unix.RTN_THROW:
		return "throw"
	}
	if len(route.MultiPath) == 0 {
		return hop(route.LinkIndex, route.Gw, route.Via)
	}
	var hops []string
	for _, next := range route.MultiPath {
		hops = append(hops, hop(next.LinkIndex, next.Gw, next.Via))
	}
	return strings.Join(hops, ", ")
}

// hop describes a hop of a route. The gateway of an IPv4 route may be one of IPv6.
func hop(index int, gateway net.IP, other netlink.Destination) string {
	device := fmt.Sprintf("dev %d", index)
	if found, err := link.FindByIndex(index); err == nil {
		device = "dev " + found.Attrs().Name
	}
	if via, ok := other.(*netlink.Via); ok {
		gateway = via.Addr
	}
	if gateway == nil {
		return device
	}
	return fmt.Sprintf("via %s %s", gateway, device)
}
