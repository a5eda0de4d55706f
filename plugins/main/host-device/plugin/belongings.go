// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// belongings are what an interface has on the host and loses as it is moved.
type belongings struct {
	index      int // of the interface, at that time
	addresses  []netlink.Addr
	routes     []netlink.Route // that the kernel does not make by itself, nearest first
	neighbours []netlink.Neigh // permanent ones
}

// belongingsOf returns what an interface has. One that is down has addresses at most.
func belongingsOf(l netlink.Link) (b belongings, err error) {
	b.index = l.Attrs().Index
	if b.addresses, err = link.Addresses(l, netlink.FAMILY_ALL); err != nil {
		return b, err
	}
	b.addresses = slices.DeleteFunc(b.addresses, isTemporary)
	if !isUp(l.Attrs()) {
		return b, nil
	}
	handle, err := netlinksafe.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return b, err
	}
	defer handle.Close()
	if b.routes, err = routesThrough(handle, b.index); err != nil {
		return b, fmt.Errorf("list the routes: %w", err)
	}
	all, err := handle.NeighList(b.index, netlink.FAMILY_ALL)
	if err != nil {
		return b, fmt.Errorf("list the neighbours: %w", err)
	}
	b.neighbours = slices.DeleteFunc(all, func(n netlink.Neigh) bool { return n.State&netlink.NUD_PERMANENT == 0 })
	return b, nil
}

// isTemporary tells whether the kernel makes an address of another, to be changed
// every day. With IPv4, the same bit says that an address is not the first.
func isTemporary(address netlink.Addr) bool {
	return address.IP.To4() == nil && address.Flags&unix.IFA_F_TEMPORARY != 0
}

// routesThrough asks the kernel for the routes through a link alone (Linux 4.20): a
// host may have a million. It leaves out what the kernel makes or learns.
func routesThrough(handle netlinksafe.Handle, index int) ([]netlink.Route, error) {
	_ = handle.SetStrictCheck(true) // older kernels do not know the option, and list all
	defer func() { _ = handle.SetStrictCheck(false) }()
	var routes []netlink.Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := handle.RouteListFiltered(family, &netlink.Route{LinkIndex: index}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, err
		}
		for _, route := range all {
			if !slices.Contains([]netlink.RouteProtocol{unix.RTPROT_KERNEL, unix.RTPROT_RA, unix.RTPROT_REDIRECT}, route.Protocol) {
				routes = append(routes, shareOf(route, index)...)
			}
		}
	}
	linkroutes.NearestFirst(routes)
	return routes, nil
}

// shareOf returns what is lost of a route when a link goes: all, but of an IPv6 route
// that leads through others as well its own part.
func shareOf(route netlink.Route, index int) []netlink.Route {
	through := func(hop *netlink.NexthopInfo) bool { return hop.LinkIndex == index }
	switch {
	case route.LinkIndex != index && !slices.ContainsFunc(route.MultiPath, through):
		return nil
	case route.Family == netlink.FAMILY_V6 && len(route.MultiPath) > 0:
		shares := linkroutes.Shares([]netlink.Route{route}, index, route.Table)
		if len(shares) > 0 {
			shares[0].Protocol = route.Protocol
			return shares
		}
	}
	return []netlink.Route{route}
}

func (b belongings) isEmpty() bool {
	return len(b.addresses) == 0 && len(b.routes) == 0 && len(b.neighbours) == 0
}

// putBack gives an interface of the current namespace what it had. What it has
// already is no error.
func (b belongings) putBack(l netlink.Link) error {
	index := l.Attrs().Index
	err := b.putAddresses(index)
	b.waitForSources(index)
	errs := []error{err}
	for _, route := range b.routes {
		_, err := linkroutes.Add(b.through(index, route))
		errs = append(errs, err)
	}
	for _, neighbour := range b.neighbours {
		neighbour.LinkIndex = index
		if err := netlink.NeighSet(&neighbour); err != nil {
			errs = append(errs, fmt.Errorf("add the neighbour %s: %w", neighbour.IP, err))
		}
	}
	return errors.Join(errs...)
}

// putAddresses adds the addresses in the order in which the kernel has listed them:
// the first of an IPv4 subnet is the one that counts.
func (b belongings) putAddresses(index int) error {
	if len(b.addresses) == 0 {
		return nil
	}
	var requests []*nl.NetlinkRequest
	for _, address := range b.addresses {
		requests = append(requests, addition(index, address))
	}
	answers, err := link.Batch(requests...)
	errs := []error{err}
	for i, answer := range answers {
		if answer != nil && !errors.Is(answer, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("add the address %s: %w", b.addresses[i].IPNet, answer))
		}
	}
	return errors.Join(errs...)
}

// addition is the message that adds an address as it was. The netlink library gives
// one a broadcast address that has none.
func addition(index int, address netlink.Addr) *nl.NetlinkRequest {
	family, bytes := unix.AF_INET6, func(ip net.IP) []byte { return ip.To16() }
	if address.IP.To4() != nil {
		family, bytes = unix.AF_INET, func(ip net.IP) []byte { return ip.To4() }
	}
	network := address.IPNet
	if address.Peer != nil {
		network = address.Peer
	}
	ones, _ := network.Mask.Size()
	message := nl.NewIfAddrmsg(family)
	message.Index, message.Prefixlen, message.Scope = uint32(index), uint8(ones), uint8(address.Scope)
	request := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.IFA_LOCAL, bytes(address.IP)))
	request.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, bytes(network.IP)))
	if address.Broadcast != nil {
		request.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, bytes(address.Broadcast)))
	}
	if address.Label != "" {
		request.AddData(nl.NewRtAttr(unix.IFA_LABEL, nl.ZeroTerminated(address.Label)))
	}
	request.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(uint32(address.Flags))))
	lifetimes := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Prefered: uint32(address.PreferedLft), Valid: uint32(address.ValidLft)}}
	request.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, lifetimes.Serialize()))
	return request
}

// waitForSources waits until the IPv6 addresses can be the sources of routes, if any
// has one: the kernel refuses it before.
func (b belongings) waitForSources(index int) {
	const patience = 3 * time.Second // detection takes one or two
	hasSource := func(route netlink.Route) bool { return route.Family == netlink.FAMILY_V6 && route.Src != nil }
	if !slices.ContainsFunc(b.routes, hasSource) {
		return
	}
	var all []net.IP
	for _, address := range b.addresses {
		if address.IP.To4() == nil {
			all = append(all, address.IP)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = link.WaitDAD(ctx, index, all...)
}

// through returns a route as one to be added through the link with an index: it
// need not be the one that the link had.
func (b belongings) through(index int, route netlink.Route) netlink.Route {
	route = linkroutes.InTable(route, route.Table) // with hops of its own
	if route.LinkIndex == b.index {
		route.LinkIndex = index
	}
	for _, hop := range route.MultiPath {
		if hop.LinkIndex == b.index {
			hop.LinkIndex = index
		}
	}
	return route
}
