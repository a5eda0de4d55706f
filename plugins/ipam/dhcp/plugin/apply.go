// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/link"
)

// apply makes the link follow a change of the terms. Its address and routes are
// the plugins' to configure, but the server may grant another address to a
// container that runs: the former one is not its any more then.
func (l *lease) apply(found netlink.Link, before, now *grant) error {
	err := setMTU(found, now.terms.mtu)
	if before == nil || before.terms.address.IP.Equal(now.terms.address.IP) {
		return err
	}
	l.logf("%s: %s is replaced by %s; the runtime does not know", l.family, &before.terms.address, &now.terms.address)
	return errors.Join(err,
		link.RemoveAddresses(found, []*net.IPNet{&before.terms.address}), // takes others of its subnet along
		link.AddAddress(found, &now.terms.address, false),
		l.replaceRoutes(found, before.terms.routes, now.terms.routes),
	)
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

// replaceRoutes removes routes, of which some went with the address, and adds
// others.
func (l *lease) replaceRoutes(found netlink.Link, before, now []*types.Route) error {
	var errs []error
	for _, route := range before {
		if err := netlink.RouteDel(l.route(found, route)); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove the route to %s: %w", &route.Dst, err))
		}
	}
	for _, route := range now {
		if err := netlink.RouteReplace(l.route(found, route)); err != nil {
			errs = append(errs, fmt.Errorf("add the route to %s: %w", &route.Dst, err))
		}
	}
	return errors.Join(errs...)
}

func (l *lease) route(found netlink.Link, route *types.Route) *netlink.Route {
	r := &netlink.Route{LinkIndex: found.Attrs().Index, Dst: &route.Dst, Gw: route.GW, Priority: l.config.IPAM.Priority}
	if route.Scope != nil { // on the link: there is no gateway
		r.Scope, r.Gw = netlink.Scope(*route.Scope), nil
	}
	return r
}
