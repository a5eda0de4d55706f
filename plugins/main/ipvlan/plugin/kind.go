// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ipvlan

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/conf"
)

func modes() childlink.Modes[netlink.IPVlanMode] {
	return childlink.Modes[netlink.IPVlanMode]{
		{Name: "l2", Value: netlink.IPVLAN_MODE_L2},
		{Name: "l3", Value: netlink.IPVLAN_MODE_L3},
		{Name: "l3s", Value: netlink.IPVLAN_MODE_L3S},
	}
}

func (c *Config) kind(conf.EnvArgs) childlink.Kind { return c.kindOn(c.Settings.Of(nil)) }

func (c *Config) kindOn(master *childlink.Master) childlink.Kind {
	return childlink.Kind{
		Type:   "ipvlan",
		Master: master,
		MTU:    c.MTU,
		Build: func(attrs netlink.LinkAttrs) netlink.Link {
			return &netlink.IPVlan{LinkAttrs: attrs, Mode: modes().Value(c.Mode)}
		},
		Compare: func(report *check.Report, l netlink.Link) {
			have := l.(*netlink.IPVlan).Mode
			report.Equal(l.Attrs().Name, "mode", modes().Name(modes().Value(c.Mode)), modes().Name(have))
		},
		Hints: map[unix.Errno]string{
			unix.EBUSY: "the master belongs to something that shares it with nobody, such as macvlan or a bridge",
		},
	}
}
