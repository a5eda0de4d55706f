// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
)

// InterfaceBreakages are what can go wrong with any container interface that
// has the addresses and routes of the suite's IPAM. The kernel takes routes
// away with addresses, so they come first.
func InterfaceBreakages() []Breakage {
	return []Breakage{
		{What: "the container's interface is gone", Want: "eth0: the interface is gone", Alone: true,
			Do: InContainer(netlink.LinkDel)},
		{What: "the container's IPv4 route is gone", Want: "the route 192.0.2.0/24 via 10.88.",
			Do: InContainer(removeRoute("192.0.2.0/24"))},
		{What: "the container's IPv6 route is gone", Want: "the route 2001:db8::/32 via fd88::1",
			Do: InContainer(removeRoute("2001:db8::/32"))},
		{What: "the container's IPv4 route leads through another gateway", Want: "the route 192.0.2.0/24 via 10.88.", Alone: true,
			Do: InContainer(replaceRoute("192.0.2.0/24", "10.88.0.77"))},
		// Of an address that is gone, too, nothing is said of its subnet.
		{What: "the container's route to its IPv4 subnet is gone", Want: "10.88.0.0/16", Alone: true,
			Do: InContainer(removeRoute("10.88.0.0/16"))},
		{What: "the container's route to its IPv6 subnet is gone", Want: "fd88::/64", Alone: true,
			Do: InContainer(removeRoute("fd88::/64"))},
		{What: "the container's IPv4 address is gone", Want: "eth0: the address 10.88.1.",
			Do: InContainer(removeAddress("10.88.1."))},
		{What: "the container's IPv6 address is gone", Want: "eth0: the address fd88::1:",
			Do: InContainer(removeAddress("fd88::1:"))},
		{What: "the container's interface has another MAC address", Want: "eth0: mac is 02:00:00:00:00:99",
			Do: InContainer(func(l netlink.Link) error {
				return netlink.LinkSetHardwareAddr(l, net.HardwareAddr{2, 0, 0, 0, 0, 0x99})
			})},
		{What: "the container's interface has another MTU", Want: "eth0: mtu is 1300",
			Do: InContainer(func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1300) })},
		{What: "the container's interface is down", Want: "eth0: the interface is down",
			Do: InContainer(netlink.LinkSetDown)},
		{What: "the reservation of the address is gone", Want: "is not reserved for container",
			Do: func(a Attachment) error { return a.Host.ReleaseAddress("10.88.1.") }},
	}
}

// InContainer returns a breakage's Do that does something to the container's
// interface.
func InContainer(do func(netlink.Link) error) func(Attachment) error {
	return func(a Attachment) error {
		return a.Container.Do(func() error { return OnLink(a.Container.IfName, do) })
	}
}

// OnLink does something to a link of the current namespace.
func OnLink(name string, do func(netlink.Link) error) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return do(l)
}

// SameLink are the attributes of a message that changes nothing of l but what is
// special about its kind.
func SameLink(l netlink.Link) netlink.LinkAttrs {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = l.Attrs().Name, l.Attrs().Index
	return attrs
}

// removeAddress returns what removes the address that begins with prefix from
// a link; there has to be one.
func removeAddress(prefix string) func(netlink.Link) error {
	return func(l netlink.Link) error {
		addresses, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		for _, address := range addresses {
			if strings.HasPrefix(address.IP.String(), prefix) {
				return netlink.AddrDel(l, &address)
			}
		}
		return fmt.Errorf("%s has no address %s...", l.Attrs().Name, prefix)
	}
}

func removeRoute(dst string) func(netlink.Link) error {
	return func(l netlink.Link) error {
		_, network, err := net.ParseCIDR(dst)
		if err != nil {
			return err
		}
		err = netlink.RouteDel(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: network, Scope: netlink.SCOPE_NOWHERE})
		if err != nil {
			return fmt.Errorf("remove the route to %s: %w", dst, err)
		}
		return nil
	}
}

// replaceRoute has the route to dst lead through another gateway on the link.
func replaceRoute(dst, gateway string) func(netlink.Link) error {
	return func(l netlink.Link) error {
		_, network, err := net.ParseCIDR(dst)
		if err != nil {
			return err
		}
		route := netlink.Route{LinkIndex: l.Attrs().Index, Dst: network, Gw: net.ParseIP(gateway), Flags: int(netlink.FLAG_ONLINK)}
		if err := netlink.RouteReplace(&route); err != nil {
			return fmt.Errorf("replace the route to %s: %w", dst, err)
		}
		return nil
	}
}

// RemoveAddress removes the address that begins with prefix from a link of the
// host; there has to be one.
func (h *Host) RemoveAddress(link, prefix string) error {
	return h.Do(func() error { return OnLink(link, removeAddress(prefix)) })
}

// ReleaseAddress removes host-local's reservation of the address that begins
// with prefix, as a careless administrator would; there has to be one.
func (h *Host) ReleaseAddress(prefix string) error {
	found, err := filepath.Glob(filepath.Join(h.DataDir, network, prefix+"*"))
	if err != nil || len(found) == 0 {
		return fmt.Errorf("no reservation of %s... in %s: %w", prefix, h.DataDir, err)
	}
	return os.Remove(found[0])
}

// Command runs a program on the host.
func (h *Host) Command(name string, args ...string) error {
	return h.Do(func() error {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
		}
		return nil
	})
}

// HostLink returns the name of the first interface of the result that is on the
// host and of no other attachment: the host's end of a veth pair.
func (a Attachment) HostLink() string {
	interfaces, _ := a.Result["interfaces"].([]any)
	for _, entry := range interfaces {
		if name, _ := entry.(Object)["name"].(string); strings.HasPrefix(name, "veth") {
			return name
		}
	}
	return ""
}

// OnHostLink returns a breakage's Do that does something to the host's end of
// the attachment's veth pair.
func OnHostLink(do func(netlink.Link) error) func(Attachment) error {
	return func(a Attachment) error {
		return a.Host.Do(func() error { return OnLink(a.HostLink(), do) })
	}
}
