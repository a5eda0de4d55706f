// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vlan

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/conf"
)

func (c *Config) kind(conf.EnvArgs) childlink.Kind {
	return childlink.Kind{
		Type:     "vlan",
		Master:   c.Settings.Of(c.suits),
		MTU:      c.MTU,
		Probe:    c.Probe,
		CheckMTU: c.MTU, // as upstream, of this kind alone
		Build: func(attrs netlink.LinkAttrs) netlink.Link {
			return &netlink.Vlan{LinkAttrs: attrs, VlanId: c.VLANID, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
		},
		Compare: func(report *check.Report, l netlink.Link) {
			report.Equal(l.Attrs().Name, "vlanId", c.VLANID, l.(*netlink.Vlan).VlanId)
		},
		Hints: map[unix.Errno]string{
			unix.EEXIST: "somebody else has this VLAN of the master; a VLAN is one interface, and so one container's",
		},
	}
}
