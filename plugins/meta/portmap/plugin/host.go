// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// routeLoopback lets packets from the host's loopback addresses out to the
// container, whose answers come back the same way. For IPv4 that is a setting of
// the device that leads to the container, for IPv6 a route. Where /proc/sys is
// read-only, on a host that is a container itself, all other ways to the port work.
func routeLoopback(wanted intended, guard func(device string) error) error {
	device, err := deviceTo(wanted.Ports, loopbackIPv4())
	if err == nil && device != nil {
		err = openLoopback(device, guard)
	}
	if errors.Is(err, unix.EROFS) {
		plugin.Logf("portmap", "the ports cannot be reached by the host's 127.0.0.1: %v", err)
		err = nil
	}
	route, errRoute := loopbackRoute(wanted)
	if errRoute == nil && route != nil && !isLoopbackRouted(route) {
		errRoute = addRoute(route)
	}
	return errors.Join(err, errRoute)
}

// openLoopback lets packets between loopback addresses and a device, but only those
// that the host itself has sent: the setting alone would let those out there send to
// 127.0.0.1, too.
func openLoopback(device netlink.Link, guard func(device string) error) error {
	if err := guard(device.Attrs().Name); err != nil {
		return err
	}
	return sysctl.Set(routeLocalnet(device), "1")
}

func routeLocalnet(device netlink.Link) string {
	return "net/ipv4/conf/" + device.Attrs().Name + "/route_localnet"
}

func loopbackIPv4() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// isReadOnly tells whether /proc/sys is mounted so that nobody here can set it.
func isReadOnly(setting string) bool {
	return errors.Is(unix.Access("/proc/sys/"+setting, unix.W_OK), unix.EROFS)
}

// addRoute adds the route beside those of other devices, which have the same
// destination: RouteAdd would take one of them for this one.
func addRoute(route *netlink.Route) error {
	err := netlink.RouteAppend(route)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("route for the answers to ::1: %w", err)
	}
	return nil
}

func checkLoopback(report *check.Report, wanted intended) {
	device, err := deviceTo(wanted.Ports, loopbackIPv4())
	report.Fail("route_localnet", err)
	if err == nil && device != nil && !isReadOnly(routeLocalnet(device)) {
		value, err := sysctl.Sysctl(routeLocalnet(device))
		report.Fail("route_localnet", err)
		report.Equal(routeLocalnet(device), "value", "1", value)
	}
	route, err := loopbackRoute(wanted)
	report.Fail("the route for ::1", err)
	if err == nil && route != nil && !isLoopbackRouted(route) {
		report.Addf("what answers ::1 has no route: table local lacks ::1 for the device with index %d", route.LinkIndex)
	}
}

func checkLoopbackGuard(ctx context.Context, report *check.Report, ports netfilter.HostPorts) {
	device, err := deviceTo(ports, loopbackIPv4())
	if err != nil || device == nil { // which checkLoopback says
		return
	}
	guarded, err := netfilter.LoopbackGuarded(ctx, device.Attrs().Name)
	report.Fail("the guard of 127.0.0.0/8", err)
	if err == nil && !guarded {
		report.Addf("nothing keeps what comes in by %s from the host's 127.0.0.0/8, although %s is set", device.Attrs().Name, routeLocalnet(device))
	}
}

// loopbackRoute returns the route by which the answers to ::1 are delivered, or
// nil where there are none. The kernel looks for ::1 among the routes of the
// device that a packet has come in by (rt6_need_strict), once the answer has its
// destination back. What comes from outside with such an address it has dropped
// before (ip6_rcv_core), so that the route lets nobody in.
//
// With iptables, whose rules are upstream's, ::1 is not masqueraded.
func loopbackRoute(wanted intended) (*netlink.Route, error) {
	if wanted.Backend != netfilter.NFTables {
		return nil, nil
	}
	device, err := deviceTo(wanted.Ports, netip.IPv6Loopback())
	if err != nil || device == nil {
		return nil, err
	}
	return &netlink.Route{
		Dst:       &net.IPNet{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		LinkIndex: device.Attrs().Index, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL,
	}, nil
}

// isLoopbackRouted tells whether the kernel would deliver what comes in by the
// device.
func isLoopbackRouted(route *netlink.Route) bool {
	treated, err := netlinksafe.RouteTo(netip.IPv6Loopback(), route.LinkIndex)
	return err == nil && treated.Type == unix.RTN_LOCAL
}

// deviceTo returns the device that leads to the container, or nil where nothing
// is mapped from a loopback address or the host has no route to the container.
func deviceTo(ports netfilter.HostPorts, loopback netip.Addr) (netlink.Link, error) {
	i := slices.IndexFunc(ports.Containers, func(p netip.Prefix) bool { return p.Addr().Is4() == loopback.Is4() })
	if i < 0 || !ports.SNAT || !slices.ContainsFunc(ports.Mappings, func(m netfilter.PortMapping) bool { return serves(m, loopback) }) {
		return nil, nil
	}
	route, err := netlinksafe.RouteTo(ports.Containers[i].Addr(), 0)
	if err != nil || route.LinkIndex == 0 {
		return nil, nil
	}
	device, err := link.FindByIndex(route.LinkIndex)
	if err != nil {
		return nil, fmt.Errorf("the device to %s: %w", ports.Containers[i].Addr(), err)
	}
	return device, nil
}

// serves tells whether a mapping can be used by way of a loopback address.
func serves(m netfilter.PortMapping, loopback netip.Addr) bool {
	return m.Applies(loopback) && (!m.Specific() || m.HostIP.IsLoopback())
}
