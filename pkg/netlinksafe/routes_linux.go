// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/nlattr"
)

// UnicastRoutes lists the routes in the current namespace along which packets
// are sent, of both families and all tables: neither what the local table says
// about this host's own addresses, nor unreachable ones. They have what leads a
// packet on its way: Family, Table, Type, Scope, Dst (nil: all), Gw, LinkIndex,
// MultiPath with the last two, Priority, MTU and AdvMSS. Nothing else of
// netlink.Route is set.
func UnicastRoutes() ([]netlink.Route, error) {
	return retry("routes", func() ([]netlink.Route, error) {
		request := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
		request.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_UNSPEC}})
		messages, dumpErr := Execute(request)
		var routes []netlink.Route
		for _, message := range messages {
			if len(message) < unix.SizeofRtMsg {
				return nil, fmt.Errorf("list the routes: a message of %d bytes", len(message))
			}
			header := nl.DeserializeRtMsg(message)
			if !isUnicast(header) {
				continue
			}
			route, err := routeOf(header, message[unix.SizeofRtMsg:])
			if err != nil {
				return nil, fmt.Errorf("list the routes: %w", err)
			}
			routes = append(routes, route)
		}
		return routes, dumpErr
	})
}

// IsLocal tells whether an address is one of the host's own.
func IsLocal(addr netip.Addr) bool {
	route, err := RouteTo(addr, 0)
	return err == nil && route.Type == unix.RTN_LOCAL
}

// RouteTo asks along which route a packet to an address would be sent, or, with
// the index of a link, how one would be treated that arrives there. The route is
// as those of UnicastRoutes, but of any type.
func RouteTo(to netip.Addr, arriving int) (netlink.Route, error) {
	to = to.Unmap()
	request := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	message := &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Dst_len: uint8(to.BitLen())}}
	if to.Is6() {
		message.Family = unix.AF_INET6
	}
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.RTA_DST, to.AsSlice()))
	if arriving != 0 {
		request.AddData(nl.NewRtAttr(unix.RTA_IIF, nl.Uint32Attr(uint32(arriving))))
	}
	answer, err := Execute(request)
	if err != nil {
		return netlink.Route{}, fmt.Errorf("route to %s: %w", to, err)
	}
	if len(answer) != 1 || len(answer[0]) < unix.SizeofRtMsg {
		return netlink.Route{}, fmt.Errorf("route to %s: the kernel answers with %d routes", to, len(answer))
	}
	return routeOf(nl.DeserializeRtMsg(answer[0]), answer[0][unix.SizeofRtMsg:])
}

// isUnicast tells whether a message is about a route that packets are sent
// along. What the kernel has learned about one destination (a path MTU) is
// listed, too, as cloned.
func isUnicast(header *nl.RtMsg) bool {
	isIP := header.Family == unix.AF_INET || header.Family == unix.AF_INET6
	return isIP && header.Type == unix.RTN_UNICAST && header.Flags&unix.RTM_F_CLONED == 0
}

// routeOf decodes a route from its attributes (rtnetlink(7)).
func routeOf(header *nl.RtMsg, data []byte) (netlink.Route, error) {
	route := netlink.Route{
		Family: int(header.Family), Table: int(header.Table), Type: int(header.Type), Scope: netlink.Scope(header.Scope),
	}
	err := eachAttribute(data, func(kind uint16, value []byte) (err error) {
		switch kind {
		case unix.RTA_DST:
			route.Dst = &net.IPNet{IP: value, Mask: net.CIDRMask(int(header.Dst_len), 8*len(value))}
		case unix.RTA_GATEWAY:
			route.Gw = value
		case unix.RTA_OIF:
			route.LinkIndex = nlattr.Number(value)
		case unix.RTA_TABLE:
			route.Table = nlattr.Number(value)
		case unix.RTA_PRIORITY:
			route.Priority = nlattr.Number(value)
		case unix.RTA_METRICS:
			return eachAttribute(value, func(metric uint16, value []byte) error {
				switch metric {
				case unix.RTAX_MTU:
					route.MTU = nlattr.Number(value)
				case unix.RTAX_ADVMSS:
					route.AdvMSS = nlattr.Number(value)
				}
				return nil
			})
		case unix.RTA_MULTIPATH:
			route.MultiPath, err = nextHops(value)
		}
		return err
	})
	return route, err
}

// nextHops decodes the parts of a route that leads through several links.
func nextHops(data []byte) ([]*netlink.NexthopInfo, error) {
	var hops []*netlink.NexthopInfo
	for len(data) >= unix.SizeofRtNexthop {
		header := nl.DeserializeRtNexthop(data)
		length := int(header.RtNexthop.Len)
		if length < unix.SizeofRtNexthop || length > len(data) {
			return nil, fmt.Errorf("a next hop of %d bytes in %d", length, len(data))
		}
		hop := &netlink.NexthopInfo{LinkIndex: int(header.Ifindex)}
		err := eachAttribute(data[unix.SizeofRtNexthop:length], func(kind uint16, value []byte) error {
			if kind == unix.RTA_GATEWAY {
				hop.Gw = value
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		hops = append(hops, hop)
		data = data[length:]
	}
	return hops, nil
}

// eachAttribute calls found with the attributes in data until it returns an
// error.
func eachAttribute(data []byte, found func(kind uint16, value []byte) error) error {
	attributes, err := nl.ParseRouteAttr(data)
	for i := 0; err == nil && i < len(attributes); i++ {
		err = found(attributes[i].Attr.Type, attributes[i].Value)
	}
	return err
}
