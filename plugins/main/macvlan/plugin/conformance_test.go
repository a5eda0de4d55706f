// SPDX-License-Identifier: Apache-2.0

//go:build linux

package macvlan

import (
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(onHost(), inContainer())

// way is the macvlan plugin with a configuration.
func way(name string, config conformance.Object) conformance.Suite {
	config["master"] = conformance.MasterName
	return conformance.Suite{
		Name:   name,
		Plugin: Plugin,
		Dir:    "plugins/main/macvlan",
		IPAM:   plugin.OptionalIPAM,
		Needs:  []string{"macvlan"},
		Typo:   [2]string{"linkInContainr", "linkInContainer"},
		Config: func(*conformance.Host) conformance.Object { return config },
	}
}

func onHost() conformance.Suite {
	s := conformance.OnMaster(way("on a link of the host", conformance.Object{"mtu": 1400}))
	s.Full = []func(*conformance.Host) conformance.Object{everyKey}
	s.Changed = func(*conformance.Host) conformance.Object {
		return conformance.Object{"master": "other0", "mode": "vepa", "mtu": 9000}
	}
	s.Breakages = append(conformance.InterfaceBreakages(), conformance.Breakage{
		What: "the interface is in another mode", Want: "eth0: mode is vepa, expected bridge",
		Do: conformance.InContainer(func(l netlink.Link) error {
			return netlink.LinkModify(&netlink.Macvlan{LinkAttrs: conformance.SameLink(l), Mode: netlink.MACVLAN_MODE_VEPA})
		}),
	}, conformance.Breakage{
		What: "the master is another link", Want: "eth0: the master is not " + conformance.MasterName,
		Alone: true, Do: conformance.RenewMaster,
	})
	return s
}

func inContainer() conformance.Suite {
	config := conformance.Object{"linkInContainer": true, "mode": "private", "bcqueuelen": 500}
	s := conformance.OnInnerMaster(way("on a link of the container, at layer 2", config))
	s.Layer2 = true
	s.Breakages = []conformance.Breakage{{
		What: "the broadcast queue is shorter", Want: "eth0: bcqueuelen is 400, expected 500",
		Do: conformance.InContainer(func(l netlink.Link) error {
			return netlink.LinkModify(&netlink.Macvlan{LinkAttrs: conformance.SameLink(l), Mode: netlink.MACVLAN_MODE_PRIVATE, BCQueueLen: 400})
		}),
	}}
	return s
}

func everyKey(*conformance.Host) conformance.Object {
	return conformance.Object{
		"master": conformance.MasterName, "linkInContainer": false, "mode": "bridge", "mtu": 1400, "bcqueuelen": 500, "probe": true,
		"mac":           "02:00:00:00:00:01",
		"args":          conformance.Object{"cni": conformance.Object{"mac": "02:00:00:00:00:02"}},
		"runtimeConfig": conformance.Object{"mac": "02:00:00:00:00:03"},
	}
}
