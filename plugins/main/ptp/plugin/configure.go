// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ptp

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/subnet"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// Places of the interfaces in a result. Plugins later in the chain count on
// them.
const (
	hostIndex = iota
	containerIndex
)

// setUpHost sets the host's end up.
func setUpHost(req *plugin.Request, pair *vethpair.Pair) error {
	host := pair.Host.Attrs()
	silenceIPv6(host.Name)
	if err := link.Own(host.Index, req.Owner().Comment()); err != nil {
		return fmt.Errorf("set %s up: %w", host.Name, err)
	}
	return nil
}

// addGateways gives the host's end the gateway's addresses. The container has its
// routes through them by then: its namespace may be the host's (CNI_NETNS_OVERRIDE),
// and there is no route to an address of one's own.
func addGateways(pair *vethpair.Pair, plan routePlan) error {
	for _, addr := range plan.hostAddrs {
		if err := link.AddAddress(pair.Host, addr, true); err != nil {
			return err
		}
	}
	return nil
}

// through returns the changes for routes through a link.
func through(l netlink.Link, routes []netlink.Route, change func(netlink.Route, string) link.Change) []link.Change {
	var changes []link.Change
	for _, route := range routes {
		route.LinkIndex = l.Attrs().Index
		changes = append(changes, change(route, fmt.Sprintf("%s through %s", route.Dst, l.Attrs().Name)))
	}
	return changes
}

// silenceIPv6 keeps the host's end from being configured by a router
// advertisement of the container's, and from detecting duplicates of its
// link-local address: until that is over, a second or two, the kernel sends no
// neighbour solicitation and so forwards nothing to the container. The kernel
// may have no IPv6, and /proc/sys may be read-only.
func silenceIPv6(name string) {
	_ = sysctl.Write("net/ipv6/conf/"+name+"/accept_ra", "0")
	_ = sysctl.Write("net/ipv6/conf/"+name+"/accept_dad", "0")
}

// configureContainer gives the container's end its addresses and routes: those to
// the gateways, which IPAM's need, IPAM's, whose own gateways are found by the
// connected routes, and those that take the place of these.
func configureContainer(ctx context.Context, req *plugin.Request, pair *vethpair.Pair, plan routePlan, result *current.Result) error {
	container, err := containerlink.Describe(req, pair.Container)
	if err != nil {
		return err
	}
	result.Interfaces = []*current.Interface{hostIndex: link.Describe(pair.Host, ""), containerIndex: container}
	for _, ip := range result.IPs {
		ip.Interface = current.Int(containerIndex)
	}
	return req.InNetns(func() error {
		// Nobody else is on the link. The kernel may have no IPv6.
		_ = sysctl.Write("net/ipv6/conf/"+req.IfName+"/accept_dad", "0")
		options := ipam.Options{Link: pair.Container, NoDAD: true, BeforeRoutes: func() error {
			return link.Apply(through(pair.Container, plan.gateways, link.Route)...)
		}}
		if err := ipam.ConfigureIfaceWithOptions(ctx, req.IfName, result, options); err != nil {
			return err
		}
		return replaceConnected(pair.Container, plan, result)
	})
}

// replaceConnected removes the routes that the kernel has made for the addresses,
// and adds those through the gateways, unless IPAM has given one. There is none for an
// address that is its whole subnet.
func replaceConnected(container netlink.Link, plan routePlan, result *current.Result) error {
	for _, ip := range result.IPs {
		connected := netlink.Route{LinkIndex: container.Attrs().Index, Dst: subnet.Of(&ip.Address), Scope: netlink.SCOPE_NOWHERE, Protocol: unix.RTPROT_KERNEL}
		if err := link.RemoveRoute(connected); err != nil {
			return err
		}
	}
	subnets := slices.DeleteFunc(plan.subnets, func(route netlink.Route) bool { return isGiven(result.Routes, route.Dst) })
	return link.Apply(through(container, subnets, link.EnsureRoute)...)
}

// isGiven tells whether IPAM's routes have one that another one to dst would hide.
func isGiven(routes []*types.Route, dst *net.IPNet) bool {
	return slices.ContainsFunc(routes, func(route *types.Route) bool {
		return route != nil && route.Priority == 0 && route.Table == nil && subnet.Of(&route.Dst).String() == dst.String()
	})
}
