// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vlan

import (
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(inContainer())

// inContainer has a master for each container, since a VLAN of a master is one
// container's.
func inContainer() conformance.Suite {
	return conformance.OnInnerMaster(conformance.Suite{
		Name:         "on a link of the container",
		Plugin:       Plugin,
		Dir:          "plugins/main/vlan",
		IPAM:         plugin.OptionalIPAM,
		Brief:        true,
		Needs:        []string{"vlan"},
		OneInterface: "somebody else has this VLAN of the master", // and there is one master
		Typo:         [2]string{"vlanIdd", "vlanId"},
		Config: func(*conformance.Host) conformance.Object {
			return conformance.Object{"master": conformance.MasterName, "linkInContainer": true, "vlanId": 100, "mtu": 1400}
		},
		Changed: func(*conformance.Host) conformance.Object {
			return conformance.Object{"master": "other0", "vlanId": 5000, "mtu": -1}
		},
		Breakages: append(conformance.InterfaceBreakages(), conformance.Breakage{
			What: "the interface is another VLAN", Want: "eth0: vlanId is 200, expected 100", Alone: true,
			Do: conformance.InContainer(replaceVLAN),
		}),
	})
}

// replaceVLAN puts another VLAN of the same master in the place of l.
func replaceVLAN(l netlink.Link) error {
	if err := netlink.LinkDel(l); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = l.Attrs().Name, l.Attrs().ParentIndex
	return netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: 200, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
}
