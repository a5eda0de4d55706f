// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

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
	if _, err := conntrack.Delete(connectionsTo(ports)...); err != nil {
		fmt.Fprintf(os.Stderr, "portmap: connections to mapped ports may go on as before: %v\n", err)
	}
}

// connectionsTo returns what tells the connections to mapped ports from others.
func connectionsTo(ports netfilter.HostPorts) []conntrack.Filter {
	var filters []conntrack.Filter
	for port, mappings := range byPort(ports) {
		if port.number == 0 || netfilter.Protocols()[port.protocol] == 0 { // DEL takes what it is given
			continue
		}
		for _, container := range ports.Containers {
			if !slices.ContainsFunc(mappings, func(m netfilter.PortMapping) bool { return m.Applies(container.Addr()) }) {
				continue
			}
			filters = append(filters, conntrack.Filter{
				Family: familyOf(container.Addr()), Protocol: netfilter.Protocols()[port.protocol], DstPort: port.number,
				DstMatches: func(address net.IP) bool { return isMapped(address, mappings) },
			})
		}
	}
	return filters
}

func familyOf(addr netip.Addr) netlink.InetFamily {
	if addr.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// hostPort is a port at whichever address of the host.
type hostPort struct {
	protocol string
	number   uint16
}

// byPort sorts mappings by what the kernel can search connections for.
func byPort(ports netfilter.HostPorts) map[hostPort][]netfilter.PortMapping {
	sorted := map[hostPort][]netfilter.PortMapping{}
	for _, m := range ports.Mappings {
		port := hostPort{m.Protocol, m.HostPort}
		sorted[port] = append(sorted[port], m)
	}
	return sorted
}

// isMapped tells whether one of the mappings is about the address: as its own, or
// as one that is the host's.
func isMapped(address net.IP, mappings []netfilter.PortMapping) bool {
	addr, _ := netip.AddrFromSlice(address)
	local := sync.OnceValue(func() bool { return isLocal(address) })
	return slices.ContainsFunc(mappings, func(m netfilter.PortMapping) bool {
		if m.HostIP.IsValid() && !m.HostIP.IsUnspecified() {
			return m.HostIP == addr
		}
		return m.Applies(addr) && local()
	})
}

// isLocal tells whether an address is the host's.
func isLocal(address net.IP) bool {
	routes, err := netlink.RouteGet(address)
	return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
}
