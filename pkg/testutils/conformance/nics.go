// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// NICAddress is the hardware address that all NICs of a host have, so that one
// configuration can ask for any of them.
const NICAddress = "02:88:00:00:00:01"

// MakeNICs is a Prepare that makes more interfaces than a spec attaches
// containers. They play hardware: when a namespace goes away with one inside, it
// comes back to the host, as the kernel brings hardware back.
func MakeNICs(*Host) error {
	address, err := net.ParseMAC(NICAddress)
	if err != nil {
		return err
	}
	for n := range crowd + 4 {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = fmt.Sprintf("nic%d", n)
		nic := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP}
		if err := netlink.LinkAdd(nic); err != nil {
			return err
		}
		if err := netlink.LinkSetHardwareAddr(nic, address); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(nic); err != nil {
			return err
		}
	}
	return nil
}

// loseNICs brings the NICs in a container back to the host. Like the kernel,
// which does that for hardware and network namespaces that have gone, it sets
// them down, and gives those a name of its own whose is taken.
func (c *Container) loseNICs() error {
	return c.Do(func() error {
		links, err := netlinksafe.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			if l.Type() != "tuntap" {
				continue
			}
			if err := c.host.takeBack(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// takeBack moves a link of the current namespace to the host.
func (h *Host) takeBack(l netlink.Link) error {
	if err := netlink.LinkSetDown(l); err != nil {
		return err
	}
	taken := h.Do(func() error {
		_, err := netlink.LinkByName(l.Attrs().Name)
		return err
	}) == nil
	if taken {
		if err := netlink.LinkSetName(l, fmt.Sprintf("dev%d", l.Attrs().Index)); err != nil {
			return err
		}
	}
	return netlink.LinkSetNsFd(l, int(h.NS.Fd()))
}
