// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vrf

import (
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(suite())

func suite() conformance.Suite {
	return conformance.Suite{
		Name:         "in the container",
		Plugin:       Plugin,
		Dir:          "plugins/meta/vrf",
		IPAM:         plugin.NoIPAM,
		Chained:      true,
		Brief:        true,
		KilledInFull: true,
		Needs:        []string{"vrf"},
		Unable:       "this kernel has no vrf links; load the module vrf (CONFIG_NET_VRF)",
		Typo:         [2]string{"vrfnam", "vrfname"},
		Config:       func(*conformance.Host) conformance.Object { return conformance.Object{"vrfname": "blue"} },
		Full:         []func(*conformance.Host) conformance.Object{everyKey},
		Changed:      func(*conformance.Host) conformance.Object { return conformance.Object{"vrfname": "red", "table": -1} },
		Breakages: []conformance.Breakage{
			{What: "the VRF is gone", Want: "blue: the interface is gone", Alone: true, Do: inside("blue", netlink.LinkDel)},
			{What: "the VRF is down", Want: "blue: the interface is down", Do: inside("blue", netlink.LinkSetDown)},
			{What: "the interface has left", Want: "eth0: is not in the VRF blue", Do: inside("eth0", netlink.LinkSetNoMaster)},
		},
	}
}

func everyKey(*conformance.Host) conformance.Object {
	return conformance.Object{"vrfname": "blue", "table": 1001}
}

// inside does something to a link of the container.
func inside(name string, do func(netlink.Link) error) func(conformance.Attachment) error {
	return func(a conformance.Attachment) error {
		return a.Container.Do(func() error { return conformance.OnLink(name, do) })
	}
}
