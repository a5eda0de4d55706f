// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ptp

import (
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(withNftables(), withIptables())

// way is the ptp plugin with a configuration.
func way(name string, config conformance.Object) conformance.Suite {
	return conformance.Suite{
		Name:   name,
		Plugin: Plugin,
		Dir:    "plugins/main/ptp",
		IPAM:   plugin.RequiredIPAM,
		Typo:   [2]string{"ipMask", "ipMasq"},
		Config: func(*conformance.Host) conformance.Object { return config },
	}
}

func withNftables() conformance.Suite {
	s := way("with nftables", conformance.Object{"ipMasq": true, "ipMasqBackend": "nftables"})
	s.Needs = []string{"nftables"}
	s.Full = []func(*conformance.Host) conformance.Object{everyKey}
	s.Changed = func(*conformance.Host) conformance.Object { return conformance.Object{"mtu": 9000} }
	s.Breakages = slices.Concat(conformance.InterfaceBreakages(), hostBreakages())
	return s
}

func withIptables() conformance.Suite {
	s := way("with iptables", conformance.Object{"ipMasq": true, "ipMasqBackend": "iptables", "mtu": 1400})
	s.Needs = []string{"iptables", "ip6tables"}
	s.Breakages = []conformance.Breakage{
		{What: "the rules of masquerading are gone", Want: "masquerading: ", Do: func(a conformance.Attachment) error {
			return a.Host.Command("iptables", "-t", "nat", "-F")
		}},
	}
	return s
}

func hostBreakages() []conformance.Breakage {
	return []conformance.Breakage{
		{What: "the gateway's address is gone", Want: "the address 10.88.0.1/32 is missing",
			Do: func(a conformance.Attachment) error { return a.Host.RemoveAddress(a.HostLink(), "10.88.0.1") }},
		{What: "the host's route to the container is gone", Want: "the route to 10.88.1.",
			Do: func(a conformance.Attachment) error {
				return a.Host.Command("ip", "route", "flush", "dev", a.HostLink(), "scope", "host")
			}},
		{What: "nothing is forwarded", Want: "forwarding is off", Do: func(a conformance.Attachment) error {
			return a.Host.Command("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
		}},
		{What: "the rules of masquerading are gone", Want: "masquerading: ", Do: func(a conformance.Attachment) error {
			return a.Host.Command("nft", "flush", "ruleset")
		}},
		{What: "the host's end is down", Want: ": the interface is down", Do: conformance.OnHostLink(netlink.LinkSetDown)},
	}
}

func everyKey(*conformance.Host) conformance.Object {
	return conformance.Object{
		"ipMasq": true, "ipMasqBackend": "nftables", "mtu": 1400,
		"mac":           "02:00:00:00:00:01",
		"args":          conformance.Object{"cni": conformance.Object{"mac": "02:00:00:00:00:02"}},
		"runtimeConfig": conformance.Object{"mac": "02:00:00:00:00:03"},
	}
}
