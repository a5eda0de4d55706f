// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tap

import (
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(withAddresses(), atLayer2())

// way is the tap plugin with a configuration.
func way(name string, config conformance.Object) conformance.Suite {
	return conformance.Suite{
		Name:   name,
		Plugin: Plugin,
		Dir:    "plugins/main/tap",
		IPAM:   plugin.OptionalIPAM,
		Inside: true,
		Needs:  []string{"tun"},
		Typo:   [2]string{"multiqueues", "multiQueue"},
		Config: func(*conformance.Host) conformance.Object { return config },
	}
}

func withAddresses() conformance.Suite {
	s := way("with addresses", conformance.Object{"mtu": 1400, "owner": 107, "group": 0})
	s.Full = []func(*conformance.Host) conformance.Object{everyKey}
	s.Changed = func(*conformance.Host) conformance.Object {
		return conformance.Object{"multiQueue": true, "bridge": "br9", "selinuxContext": "x:y:z"}
	}
	s.Breakages = append(conformance.InterfaceBreakages(), conformance.Breakage{
		What: "the interface is another one", Want: "eth0: owner is 0, expected 107", Alone: true,
		Do: conformance.InContainer(replace),
	})
	return s
}

// replace makes another tap interface of the same name.
func replace(l netlink.Link) error {
	if err := netlink.LinkDel(l); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Alias = l.Attrs().Name, l.Attrs().Alias
	again := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP}
	if err := netlink.LinkAdd(again); err != nil {
		return err
	}
	return netlink.LinkSetAlias(again, l.Attrs().Alias)
}

func atLayer2() conformance.Suite {
	s := way("at layer 2", conformance.Object{"multiQueue": true})
	s.Layer2 = true
	s.Breakages = []conformance.Breakage{{
		What: "the interface has one queue", Want: "eth0: multiQueue is false, expected true",
		Do: conformance.InContainer(replace),
	}}
	return s
}

// everyKey has each but selinuxContext, which needs SELinux, and bridge, which
// is in the container.
func everyKey(*conformance.Host) conformance.Object {
	return conformance.Object{
		"multiQueue": true, "mtu": 1400, "owner": 107, "group": 0,
		"mac":           "02:00:00:00:00:01",
		"args":          conformance.Object{"cni": conformance.Object{"mac": "02:00:00:00:00:02"}},
		"runtimeConfig": conformance.Object{"mac": "02:00:00:00:00:03"},
	}
}
