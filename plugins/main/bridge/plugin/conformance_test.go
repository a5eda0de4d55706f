// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(suites()...)

// suites are the ways in which the bridge plugin works differently.
func suites() []conformance.Suite {
	way := func(name string, config conformance.Object) conformance.Suite {
		return conformance.Suite{
			Name:   name,
			Plugin: Plugin,
			Dir:    "plugins/main/bridge",
			IPAM:   plugin.OptionalIPAM,
			Config: func(*conformance.Host) conformance.Object { return config },
			Typo:   [2]string{"isGatewayy", "isGateway"},
			Vanish: func(*conformance.Host) error {
				return netlink.LinkDel(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "conf0"}})
			},
		}
	}
	layer3 := way("with nftables", conformance.Object{
		"bridge": "conf0", "isDefaultGateway": true, "ipMasq": true, "ipMasqBackend": "nftables", "macspoofchk": true, "hairpinMode": true,
	})
	layer3.Needs = []string{"nftables-bridge"}
	iptables := way("with iptables", conformance.Object{
		"bridge": "conf0", "isGateway": true, "ipMasq": true, "ipMasqBackend": "iptables", "mtu": 1400,
	})
	iptables.Needs = []string{"iptables"}
	layer2 := way("at layer 2", conformance.Object{"bridge": "conf0", "portIsolation": true})
	layer2.Layer2 = true
	return []conformance.Suite{layer3, iptables, layer2}
}
