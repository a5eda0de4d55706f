// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ptp

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// Places of the interfaces in a result. Plugins later in the chain count on
// them.
const (
	hostIndex = iota
	containerIndex
)

// configureHost sets the host's end up and gives it the gateway's addresses.
func configureHost(req *plugin.Request, pair *vethpair.Pair, plan routePlan) error {
	host := pair.Host.Attrs()
	silenceIPv6(host.Name)
	if err := link.Own(host.Index, req.Owner().Comment()); err != nil {
		return fmt.Errorf("set %s up: %w", host.Name, err)
	}
	for _, addr := range plan.hostAddrs {
		if err := link.AddAddress(pair.Host, addr, true); err != nil {
			return err
		}
	}
	return nil
}

// routeToContainer gives the host its routes to the container. A route that a
// dead container left is replaced: traffic would go on to a device nobody listens
// at. It may be the route of a living one with the same address, so this comes
// when nothing else can fail.
func routeToContainer(pair *vethpair.Pair, plan routePlan) error {
	host := pair.Host.Attrs()
	for _, route := range plan.host {
		route.LinkIndex = host.Index
		if err := netlink.RouteReplace(&route); err != nil {
			return fmt.Errorf("add the route to %s through %s: %w", route.Dst, host.Name, err)
		}
	}
	return nil
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

// configureContainer gives the container's end its addresses and routes. The
// connected routes make way for those through the gateway, in the place where
// IPAM's routes, which need the gateway, come after.
func configureContainer(ctx context.Context, req *plugin.Request, pair *vethpair.Pair, plan routePlan, result *current.Result) error {
	container, err := containerlink.Describe(req, pair.Container)
	if err != nil {
		return err
	}
	result.Interfaces = []*current.Interface{link.Describe(pair.Host, ""), container}
	for _, ip := range result.IPs {
		ip.Interface = current.Int(containerIndex)
	}
	return req.InNetns(func() error {
		// Nobody else is on the link. The kernel may have no IPv6.
		_ = sysctl.Write("net/ipv6/conf/"+req.IfName+"/accept_dad", "0")
		options := ipam.Options{Link: pair.Container, NoDAD: true, BeforeRoutes: func() error { return installRoutes(pair.Container, plan, result.IPs) }}
		return ipam.ConfigureIfaceWithOptions(ctx, req.IfName, result, options)
	})
}

func installRoutes(container netlink.Link, plan routePlan, ips []*current.IPConfig) error {
	for _, ip := range ips {
		if err := deleteConnectedRoute(container, ip.Address); err != nil {
			return err
		}
	}
	for _, route := range plan.container {
		route.LinkIndex = container.Attrs().Index
		if err := netlink.RouteAdd(&route); err != nil {
			return fmt.Errorf("add the route to %s through %s: %w", route.Dst, container.Attrs().Name, err)
		}
	}
	return nil
}

// deleteConnectedRoute removes the route that the kernel made for an address.
// There is none if the address is its whole subnet.
func deleteConnectedRoute(container netlink.Link, address net.IPNet) error {
	subnet := &net.IPNet{IP: address.IP.Mask(address.Mask), Mask: address.Mask}
	err := netlink.RouteDel(&netlink.Route{LinkIndex: container.Attrs().Index, Dst: subnet, Scope: netlink.SCOPE_NOWHERE})
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("remove the connected route to %s: %w", subnet, err)
	}
	return nil
}
