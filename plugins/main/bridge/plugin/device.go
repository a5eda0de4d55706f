// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ip"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// ensureBridge returns the bridge, created or brought in line with the
// configuration, and up.
func ensureBridge(c *Config) (*netlink.Bridge, error) {
	found, err := link.Find(c.Bridge)
	if errors.Is(err, link.ErrNotFound) {
		found, err = createBridge(c)
	}
	if err != nil {
		return nil, err
	}
	if err := mustBeBridge(found); err != nil {
		return nil, err
	}
	bridge := found.(*netlink.Bridge)
	if err := reconcile(c, bridge); err != nil {
		return nil, fmt.Errorf("bridge %s: %w", c.Bridge, err)
	}
	return bridge, nil
}

// createBridge creates the bridge. Somebody else may do so at the same time:
// "exists" is fine. The MAC address is given rather than left to the kernel,
// which would let it follow the lowest one of the ports, and to udev, which
// replaces random ones a little later. The MTU comes after (see reconcile): one
// given at creation follows those of the ports, one that is changed stays.
func createBridge(c *Config) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = c.Bridge
	attrs.HardwareAddr = link.RandomMAC()
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if c.filtersVLANs() {
		// Only then: kernels without VLAN filtering refuse even a zero.
		bridge.VlanFiltering = ptr(true)
	}
	if err := netlink.LinkAdd(bridge); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("create bridge %s: %w", c.Bridge, err)
	}
	// A router advertisement must not configure the bridge. And until it knows
	// that its link-local address has no duplicate it solicits no neighbours,
	// that is, forwards nothing. The kernel may have been built without IPv6.
	_ = sysctl.Set("net/ipv6/conf/"+c.Bridge+"/accept_ra", "0")
	if !c.EnableDAD {
		_ = sysctl.Set("net/ipv6/conf/"+c.Bridge+"/accept_dad", "0")
	}
	return link.Find(c.Bridge)
}

// reconcile changes what differs from the configuration on a bridge that was
// there before, or says why it cannot.
func reconcile(c *Config, bridge *netlink.Bridge) error {
	if c.MTU != 0 && c.MTU != bridge.MTU {
		if err := changeMTU(c, bridge); err != nil {
			return err
		}
	}
	if c.filtersVLANs() && !isTrue(bridge.VlanFiltering) {
		// The ports keep their untagged traffic: each is a member of VLAN 1.
		if err := link.SetVLANFiltering(bridge.Index, true); err != nil {
			return fmt.Errorf("switch VLAN filtering on: %w", err)
		}
	}
	if c.PromiscMode && bridge.Promisc == 0 {
		if err := netlink.SetPromiscOn(bridge); err != nil {
			return fmt.Errorf("switch promiscuous mode on: %w", err)
		}
	}
	if bridge.Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(bridge); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
	}
	return nil
}

// changeMTU gives the bridge the configured MTU. Ports that take less would
// silently lose what the bridge sends them, so they are a conflict.
func changeMTU(c *Config, bridge *netlink.Bridge) error {
	if c.MTU > bridge.MTU {
		links, err := netlinksafe.LinkList()
		if err != nil {
			return fmt.Errorf("list the ports: %w", err)
		}
		for _, port := range links {
			if attrs := port.Attrs(); attrs.MasterIndex == bridge.Index && attrs.MTU < c.MTU {
				return fmt.Errorf("the MTU is %d and cannot become %d while port %s has %d; "+
					"set mtu to %d, use another bridge, or let the containers go first", bridge.MTU, c.MTU, attrs.Name, attrs.MTU, bridge.MTU)
			}
		}
	}
	if err := netlink.LinkSetMTU(bridge, c.MTU); err != nil {
		return fmt.Errorf("change the MTU from %d to %d: %w", bridge.MTU, c.MTU, err)
	}
	bridge.MTU = c.MTU
	return nil
}

// ensureGateways gives the bridge, or the VLAN's gateway device, its addresses
// and switches forwarding on. It returns the gateway device if there is one.
func ensureGateways(c *Config, bridge *netlink.Bridge, gateways []*net.IPNet) (netlink.Link, error) {
	if len(gateways) == 0 {
		return nil, nil
	}
	var device netlink.Link = bridge
	var vlanDevice netlink.Link
	if c.VLAN != 0 {
		var err error
		if vlanDevice, err = ensureVLANGateway(c, bridge); err != nil {
			return nil, err
		}
		device = vlanDevice
	}
	for _, gateway := range gateways {
		if err := ensureAddress(c, device, gateway, gateways); err != nil {
			return nil, err
		}
		if err := enableForwarding(gateway.IP); err != nil {
			return nil, err
		}
	}
	return vlanDevice, nil
}

func enableForwarding(gateway net.IP) error {
	if isIPv4(gateway) {
		return ip.EnableIP4Forward()
	}
	return ip.EnableIP6Forward()
}

// ensureAddress makes sure that device has the address want. An address that
// conflicts with it, and is not among the other wanted ones, is removed if the
// configuration says so and is an error otherwise.
func ensureAddress(c *Config, device netlink.Link, want *net.IPNet, wanted []*net.IPNet) error {
	name := device.Attrs().Name
	addresses, err := netlinksafe.AddrList(device, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("%s: list the addresses: %w", name, err)
	}
	for i := range addresses {
		have := addresses[i].IPNet
		switch {
		case have.String() == want.String():
			return nil
		case !conflicts(have, want) || contains(wanted, have):
		case !c.ForceAddress:
			return fmt.Errorf("%s has the address %s, which conflicts with the gateway address %s; "+
				"correct the gateway or subnet, or set forceAddress to have it replaced", name, have, want)
		default:
			if err := netlink.AddrDel(device, &addresses[i]); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				return fmt.Errorf("%s: remove the address %s: %w", name, have, err)
			}
		}
	}
	return addAddress(c, device, want)
}

// addAddress adds a gateway address, at the same time as another ADD perhaps.
// The gateway has to answer from the first packet on, so that duplicate address
// detection is left out unless it is asked for.
func addAddress(c *Config, device netlink.Link, want *net.IPNet) error {
	if err := link.AddAddress(device, want, !c.EnableDAD); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	// Writing the device's own MAC address back makes it one that was set by
	// hand: it then stays as ports come and go, and so do neighbours' caches.
	if err := netlink.LinkSetHardwareAddr(device, device.Attrs().HardwareAddr); err != nil {
		return fmt.Errorf("%s: keep the MAC address %s: %w", device.Attrs().Name, device.Attrs().HardwareAddr, err)
	}
	return nil
}

// ensureVLANGateway returns the device that holds the gateway addresses of a
// VLAN, called <bridge>.<vid>: one end of a veth pair whose other end is an
// untagged port of that VLAN. It is shared, and completed if whoever made it did
// not come to an end.
func ensureVLANGateway(c *Config, bridge *netlink.Bridge) (netlink.Link, error) {
	name := c.vlanGateway()
	device, err := link.Find(name)
	if errors.Is(err, link.ErrNotFound) {
		device, err = createVLANGateway(name, bridge)
	}
	if err != nil {
		return nil, err
	}
	if device.Type() != "veth" {
		return nil, fmt.Errorf("%s exists and is no veth but of type %s; it should be the gateway device of VLAN %d", name, device.Type(), c.VLAN)
	}
	port, err := link.FindByIndex(device.Attrs().ParentIndex)
	if err != nil {
		return nil, fmt.Errorf("find the other end of %s: %w", name, err)
	}
	if err := attachVLANGateway(c, bridge, device, port); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return device, nil
}

func createVLANGateway(name string, bridge *netlink.Bridge) (netlink.Link, error) {
	peer, err := ip.RandomVethName()
	if err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.MTU = bridge.MTU
	attrs.HardwareAddr = link.RandomMAC()
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: peer, PeerMTU: uint32(bridge.MTU), PeerHardwareAddr: link.RandomMAC()}
	if err := netlink.LinkAdd(pair); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("create the VLAN gateway device %s: %w", name, err)
	}
	return link.Find(name)
}

func attachVLANGateway(c *Config, bridge *netlink.Bridge, device, port netlink.Link) error {
	if port.Attrs().MasterIndex != bridge.Index {
		if err := netlink.LinkSetMaster(port, bridge); err != nil {
			return fmt.Errorf("attach to %s: %w", c.Bridge, err)
		}
	}
	if err := setPortVLANs(port, vlanPlan{pvid: c.VLAN}); err != nil {
		return err
	}
	for _, end := range []netlink.Link{port, device} {
		if end.Attrs().Flags&net.FlagUp != 0 {
			continue
		}
		if err := netlink.LinkSetUp(end); err != nil {
			return fmt.Errorf("set %s up: %w", end.Attrs().Name, err)
		}
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }

func ptr[T any](value T) *T { return &value }

// bridgeStatus tells whether a device of another type holds the bridge's name.
func bridgeStatus(c *Config) error {
	found, err := link.Find(c.Bridge)
	if errors.Is(err, link.ErrNotFound) {
		return nil // ADD will create it
	}
	if err != nil {
		return err
	}
	return mustBeBridge(found)
}

func mustBeBridge(found netlink.Link) error {
	if found.Type() == "bridge" {
		return nil
	}
	return fmt.Errorf("%s exists and is no bridge but of type %s; name another one or remove it", found.Attrs().Name, found.Type())
}
