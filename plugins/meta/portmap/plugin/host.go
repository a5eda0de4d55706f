// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/utils/conntrack"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// routeLoopback lets packets from the host's loopback addresses out to the
// container, whose answers come back the same way.
func routeLoopback(ports netfilter.HostPorts) error {
	setting, err := loopbackSetting(ports)
	if err != nil || setting == "" {
		return err
	}
	return sysctl.Set(setting, "1")
}

func checkLoopback(report *check.Report, ports netfilter.HostPorts) {
	setting, err := loopbackSetting(ports)
	report.Fail("route_localnet", err)
	if err != nil || setting == "" {
		return
	}
	value, err := sysctl.Sysctl(setting)
	report.Fail("route_localnet", err)
	report.Equal(setting, "value", "1", value)
}

// loopbackSetting returns the name of the setting, or "" where nothing is mapped
// from a loopback address or the host has no route to the container.
func loopbackSetting(ports netfilter.HostPorts) (string, error) {
	i := slices.IndexFunc(ports.Containers, func(p netip.Prefix) bool { return p.Addr().Is4() })
	if i < 0 || !ports.SNAT || !slices.ContainsFunc(ports.Mappings, fromLoopback) {
		return "", nil
	}
	routes, err := netlink.RouteGet(ports.Containers[i].Addr().AsSlice())
	if err != nil || len(routes) == 0 || routes[0].LinkIndex == 0 {
		return "", nil
	}
	device, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return "", fmt.Errorf("the device to %s: %w", ports.Containers[i].Addr(), err)
	}
	return "net/ipv4/conf/" + device.Attrs().Name + "/route_localnet", nil
}

// fromLoopback tells whether a mapping can be used by way of 127.0.0.1.
func fromLoopback(m netfilter.PortMapping) bool {
	return !m.HostIP.IsValid() || m.HostIP.Is4() && (m.HostIP.IsUnspecified() || m.HostIP.IsLoopback())
}

// forgetConnections makes the kernel forget the connections to mapped ports of
// the host, so that their next packet goes where the mappings lead by now. That
// may fail where nothing tracks connections, and is no reason to fail.
func forgetConnections(ports netfilter.HostPorts) {
	for _, container := range ports.Containers {
		for _, m := range ports.Mappings {
			if !m.Applies(container.Addr()) {
				continue
			}
			if _, err := conntrack.Delete(connectionsOf(m, container.Addr())); err != nil {
				fmt.Fprintf(os.Stderr, "portmap: connections to %s may go on as before: %v\n", m, err)
			}
		}
	}
}

// connectionsOf are those that a mapping is about: from whomever to the host's
// port, of the host's address or of any address that is the host's.
func connectionsOf(m netfilter.PortMapping, container netip.Addr) conntrack.Filter {
	filter := conntrack.Filter{Family: netlink.FAMILY_V4, Protocol: netfilter.Protocols()[m.Protocol], DstPort: m.HostPort}
	if container.Is6() {
		filter.Family = netlink.FAMILY_V6
	}
	if m.HostIP.IsValid() && !m.HostIP.IsUnspecified() {
		filter.DstIP = m.HostIP.AsSlice()
	} else {
		filter.DstMatches = isLocal
	}
	return filter
}

// isLocal tells whether an address is the host's.
func isLocal(address net.IP) bool {
	routes, err := netlink.RouteGet(address)
	return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
}
