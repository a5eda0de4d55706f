// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"strings"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(withNftables(), withIptables())

// way is the portmap plugin with a backend. Every container has ports of its own.
func way(backend string) conformance.Suite {
	return conformance.Suite{
		Name:    "with " + backend,
		Plugin:  Plugin,
		Dir:     "plugins/meta/portmap",
		IPAM:    plugin.NoIPAM,
		Chained: true,
		Typo:    [2]string{"backends", "backend"},
		Config: func(*conformance.Host) conformance.Object {
			return conformance.Object{"backend": backend, "runtimeConfig": conformance.Object{"portMappings": []any{
				conformance.Object{"hostPort": conformance.OwnNumber, "containerPort": 80, "protocol": "tcp"},
				conformance.Object{"hostPort": conformance.OwnNumber, "containerPort": 53, "protocol": "udp", "hostIP": "10.77.0.1"},
			}}}
		},
	}
}

func withNftables() conformance.Suite {
	s := way("nftables")
	s.Needs = []string{"nftables", "ipv6"}
	s.Full = []func(*conformance.Host) conformance.Object{everyKey}
	s.Changed = func(*conformance.Host) conformance.Object {
		return conformance.Object{"snat": false, "backend": "iptables"}
	}
	s.Breakages = append(nftBreakages(), routeLocalnetIsOff())
	return s
}

func withIptables() conformance.Suite {
	s := way("iptables")
	s.Needs = []string{"iptables", "ip6tables"}
	s.Breakages = append(iptablesBreakages(), routeLocalnetIsOff())
	return s
}

func onHost(what, script, want string) conformance.Breakage {
	return conformance.Breakage{What: what, Want: want, Do: func(a conformance.Attachment) error {
		return a.Host.Command("sh", "-e", "-c", script)
	}}
}

func routeLocalnetIsOff() conformance.Breakage {
	file := "/proc/sys/net/ipv4/conf/" + conformance.PreviousBridge + "/route_localnet"
	return onHost("the loopback is not routed", "echo 0 > "+file, "route_localnet: value is 0, expected 1")
}

func nftBreakages() []conformance.Breakage {
	const chains = "port mappings: table ip cni_portmap: the rules of chain "
	flushed := onHost("nft flushed everything", "nft flush ruleset", chains+"mappings")
	flushed.Alone = true
	return []conformance.Breakage{
		flushed,
		onHost("the jump of the output hook is gone", "nft flush chain ip cni_portmap output", chains+"output"),
		onHost("the jump of the prerouting hook is gone", "nft flush chain ip6 cni_portmap prerouting", "table ip6 cni_portmap: the rules of chain prerouting"),
		onHost("nothing is masqueraded", "nft flush chain ip cni_portmap masquerading", chains+"masquerading"),
		onHost("another rule comes first", "nft insert rule ip cni_portmap mappings tcp dport 1 accept", chains+"mappings"),
		onHost("the mappings are gone", "nft flush map ip cni_portmap ports", " in map ports is missing"),
		onHost("the mappings with an address are gone", "nft flush map ip cni_portmap addresses", "10.77.0.1:"),
		onHost("the sources are gone", "nft flush set ip cni_portmap sources16", "the masquerading in set sources16 is missing"),
	}
}

func iptablesBreakages() []conformance.Breakage {
	const table = "port mappings: iptables: table nat: "
	flushed := onHost("iptables flushed everything", "iptables -t nat -F; iptables -t nat -X", "table nat: chain CNI-DN-")
	flushed.Alone = true
	return []conformance.Breakage{
		flushed,
		onHost("the jump is gone", "iptables -t nat -F PREROUTING", table+"chain PREROUTING has no jump to CNI-HOSTPORT-DNAT"),
		onHost("the jump for what the host sends is gone", "ip6tables -t nat -F OUTPUT", "ip6tables: table nat: chain OUTPUT has no jump"),
		onHost("nothing is masqueraded", "iptables -t nat -F POSTROUTING", table+"chain POSTROUTING has no jump to CNI-HOSTPORT-MASQ"),
		onHost("nothing is marked", "iptables -t nat -F CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-SETMARK sets no mark"),
		onHost("nothing leads to the container's chain", "iptables -t nat -F CNI-HOSTPORT-DNAT", "has no rule that leads"),
		onHost("the container's chain is empty",
			strings.ReplaceAll(`iptables -t nat -S | sed -n 's/^-N \(CNI-DN-.*\)/\1/p' | xargs -n 1 iptables -t nat -F`, "\n", " "), "lacks"),
	}
}

func everyKey(*conformance.Host) conformance.Object {
	return conformance.Object{
		"backend": "iptables", "snat": true, "masqAll": true, "markMasqBit": 5,
		"conditionsV4":  []any{"!", "-s", "192.0.2.0/24"},
		"conditionsV6":  []any{"!", "-s", "2001:db8::/32"},
		"capabilities":  conformance.Object{"portMappings": true},
		"runtimeConfig": conformance.Object{"portMappings": []any{conformance.Object{"hostPort": conformance.OwnNumber, "containerPort": 80, "protocol": "tcp", "hostIP": "0.0.0.0"}}},
	}
}
