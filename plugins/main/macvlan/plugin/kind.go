// SPDX-License-Identifier: Apache-2.0

//go:build linux

package macvlan

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/conf"
)

// modes are the modes of the kernel, but for "source", which is of no use
// without a list of MAC addresses.
func modes() childlink.Modes[netlink.MacvlanMode] {
	return childlink.Modes[netlink.MacvlanMode]{
		{Name: "bridge", Value: netlink.MACVLAN_MODE_BRIDGE},
		{Name: "private", Value: netlink.MACVLAN_MODE_PRIVATE},
		{Name: "vepa", Value: netlink.MACVLAN_MODE_VEPA},
		{Name: "passthru", Value: netlink.MACVLAN_MODE_PASSTHRU},
	}
}

func (c *Config) kind(args conf.EnvArgs) childlink.Kind {
	return childlink.Kind{
		Type:    "macvlan",
		Master:  c.Settings.Of(childlink.FitMTU(c.MTU)),
		MTU:     c.MTU,
		MAC:     c.ContainerMAC(args),
		Probe:   c.Probe,
		Build:   c.build,
		Compare: c.compare,
		Hints: map[unix.Errno]string{
			unix.EBUSY:  "the master belongs to something that shares it with nobody, such as ipvlan or a bridge",
			unix.EINVAL: "the master is no Ethernet interface, or has an interface in mode passthru, which tolerates no other",
		},
	}
}

func (c *Config) build(attrs netlink.LinkAttrs) netlink.Link {
	return &netlink.Macvlan{LinkAttrs: attrs, Mode: modes().Value(c.Mode), BCQueueLen: c.BCQueueLen}
}

func (c *Config) compare(report *check.Report, l netlink.Link) {
	have := l.(*netlink.Macvlan)
	report.Equal(have.Name, "mode", modes().Name(modes().Value(c.Mode)), modes().Name(have.Mode))
	if c.BCQueueLen != 0 {
		report.Equal(have.Name, "bcqueuelen", c.BCQueueLen, have.BCQueueLen)
	}
}
