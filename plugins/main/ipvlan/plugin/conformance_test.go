// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ipvlan

import (
	"os/exec"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(onHost())

func onHost() conformance.Suite {
	return conformance.OnMaster(conformance.Suite{
		Name:   "on a link of the host",
		Plugin: Plugin,
		Dir:    "plugins/main/ipvlan",
		IPAM:   plugin.OptionalIPAM,
		Brief:  true,
		Needs:  []string{"ipvlan", "ip-tool"},
		Typo:   [2]string{"linkInContainr", "linkInContainer"},
		Config: func(*conformance.Host) conformance.Object {
			return conformance.Object{"master": conformance.MasterName, "mode": "l3", "mtu": 1400}
		},
		Changed: func(*conformance.Host) conformance.Object {
			return conformance.Object{"master": "other0", "mode": "l2", "mtu": 9000}
		},
		Breakages: breakages(),
	})
}

// breakages leaves the MAC address alone, which is the master's.
func breakages() []conformance.Breakage {
	common := slices.DeleteFunc(conformance.InterfaceBreakages(), func(b conformance.Breakage) bool {
		return strings.Contains(b.What, "MAC")
	})
	return append(common, conformance.Breakage{
		What: "the interface is in another mode", Want: "eth0: mode is l3s, expected l3",
		Do: func(a conformance.Attachment) error {
			return a.Container.Do(exec.Command("ip", "link", "set", "eth0", "type", "ipvlan", "mode", "l3s").Run)
		},
	}, conformance.Breakage{
		What: "the master is another link", Want: "eth0: the master is not " + conformance.MasterName,
		Alone: true, Do: conformance.RenewMaster,
	})
}
