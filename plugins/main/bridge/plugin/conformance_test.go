// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(withNftables(), withIptables(), atLayer2())

// way is the bridge plugin with a configuration.
func way(name string, config conformance.Object) conformance.Suite {
	return conformance.Suite{
		Name:   name,
		Plugin: Plugin,
		Dir:    "plugins/main/bridge",
		IPAM:   plugin.OptionalIPAM,
		Typo:   [2]string{"isGatewayy", "isGateway"},
		Config: func(*conformance.Host) conformance.Object { return config },
		Vanish: func(*conformance.Host) error { return conformance.OnLink("conf0", netlink.LinkDel) },
	}
}

func withNftables() conformance.Suite {
	s := way("with nftables", conformance.Object{
		"bridge": "conf0", "isDefaultGateway": true, "hairpinMode": true,
		"ipMasq": true, "ipMasqBackend": "nftables", "macspoofchk": true,
	})
	s.Needs = []string{"nftables-bridge"}
	s.Full = []func(*conformance.Host) conformance.Object{everyKey}
	s.Changed = func(*conformance.Host) conformance.Object {
		return conformance.Object{"bridge": "other0", "ipMasq": false, "vlan": 7, "mtu": 9000}
	}
	s.Breakages = slices.Concat(conformance.InterfaceBreakages(), portBreakages(), gatewayBreakages(), []conformance.Breakage{
		{What: "the rules of masquerading are gone", Want: "masquerading: ", Do: flushRules},
		{What: "the rules of the MAC guard are gone", Want: "MAC guard: ", Do: flushRules},
	})
	return s
}

func flushRules(a conformance.Attachment) error { return a.Host.Command("nft", "flush", "ruleset") }

func withIptables() conformance.Suite {
	s := way("with iptables", conformance.Object{
		"bridge": "conf0", "isGateway": true, "ipMasq": true, "ipMasqBackend": "iptables", "mtu": 1400,
	})
	s.Needs = []string{"iptables", "ip6tables"}
	s.Breakages = []conformance.Breakage{
		{What: "the rules of IPv4 are gone", Want: "masquerading: ", Do: func(a conformance.Attachment) error {
			return a.Host.Command("iptables", "-t", "nat", "-F")
		}},
		{What: "the rules of IPv6 are gone", Want: "masquerading: ", Do: func(a conformance.Attachment) error {
			return a.Host.Command("ip6tables", "-t", "nat", "-F")
		}},
	}
	return s
}

func atLayer2() conformance.Suite {
	s := way("at layer 2", conformance.Object{"bridge": "conf0", "portIsolation": true})
	s.Layer2 = true
	s.Breakages = []conformance.Breakage{
		{What: "the port is no longer isolated", Want: "isolation is false",
			Do: conformance.OnHostLink(func(l netlink.Link) error { return netlink.LinkSetIsolated(l, false) })},
	}
	return s
}

func portBreakages() []conformance.Breakage {
	return []conformance.Breakage{
		{What: "the host's end is down", Want: ": the interface is down", Do: conformance.OnHostLink(netlink.LinkSetDown)},
		{What: "the host's end has another MTU", Want: "mtu is 1301",
			Do: conformance.OnHostLink(func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1301) })},
		{What: "hairpin mode is off", Want: "hairpin mode is false",
			Do: conformance.OnHostLink(func(l netlink.Link) error { return netlink.LinkSetHairpin(l, false) })},
		{What: "the port is isolated", Want: "isolation is true",
			Do: conformance.OnHostLink(func(l netlink.Link) error { return netlink.LinkSetIsolated(l, true) })},
		{What: "the host's end is no port of the bridge", Want: "is no port of conf0", Alone: true,
			Do: conformance.OnHostLink(netlink.LinkSetNoMaster)},
	}
}

func gatewayBreakages() []conformance.Breakage {
	onBridge := func(do func(netlink.Link) error) func(conformance.Attachment) error {
		return func(a conformance.Attachment) error {
			return a.Host.Do(func() error { return conformance.OnLink("conf0", do) })
		}
	}
	return []conformance.Breakage{
		{What: "the IPv4 gateway is gone", Want: "conf0: the address 10.88.0.1/16 is missing",
			Do: func(a conformance.Attachment) error { return a.Host.RemoveAddress("conf0", "10.88.0.1") }},
		{What: "the IPv6 gateway is gone", Want: "conf0: the address fd88::1/64 is missing",
			Do: func(a conformance.Attachment) error { return a.Host.RemoveAddress("conf0", "fd88::1") }},
		{What: "IPv4 is not forwarded", Want: "net/ipv4/ip_forward: forwarding is off",
			Do: func(a conformance.Attachment) error {
				return a.Host.Command("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
			}},
		{What: "IPv6 is not forwarded", Want: "net/ipv6/conf/all/forwarding: forwarding is off",
			Do: func(a conformance.Attachment) error {
				return a.Host.Command("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding")
			}},
		{What: "the bridge is down", Want: "conf0: the interface is down", Do: onBridge(netlink.LinkSetDown)},
		{What: "the bridge is gone", Want: "conf0: the interface is gone", Alone: true, Do: onBridge(netlink.LinkDel)},
	}
}

// everyKey has all keys but those of VLANs, which not every kernel has.
func everyKey(*conformance.Host) conformance.Object {
	return conformance.Object{
		"bridge": "conf0", "isGateway": true, "isDefaultGateway": true, "forceAddress": true,
		"ipMasq": true, "ipMasqBackend": "nftables", "mtu": 1400, "hairpinMode": true, "promiscMode": false,
		"macspoofchk": true, "enabledad": false, "probe": false, "portIsolation": true, "disableContainerInterface": false,
		"mac":           "02:00:00:00:00:01",
		"args":          conformance.Object{"cni": conformance.Object{"mac": "02:00:00:00:00:02"}},
		"runtimeConfig": conformance.Object{"mac": "02:00:00:00:00:03"},
	}
}
