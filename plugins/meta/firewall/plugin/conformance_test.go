// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(withIptables(), withNftables())

// way is the firewall plugin with a configuration.
func way(name string, config conformance.Object) conformance.Suite {
	return conformance.Suite{
		Name:    name,
		Plugin:  Plugin,
		Dir:     "plugins/meta/firewall",
		Chained: true,
		Typo:    [2]string{"ingresPolicy", "ingressPolicy"},
		Config:  func(*conformance.Host) conformance.Object { return config },
	}
}

func withIptables() conformance.Suite {
	s := way("with iptables", conformance.Object{"backend": "iptables", "ingressPolicy": "same-bridge"})
	s.Needs = []string{"iptables", "ip6tables"}
	s.Full = []func(*conformance.Host) conformance.Object{everyKey}
	s.Changed = func(*conformance.Host) conformance.Object {
		return conformance.Object{"backend": "nftables", "iptablesAdminChainName": "OTHER"}
	}
	s.Breakages = []conformance.Breakage{
		{What: "IPv4 is not accepted", Want: "iptables: table filter: chain CNI-FORWARD lacks the rule -s 10.77.", Do: command("iptables", "-F", "CNI-FORWARD")},
		{What: "IPv6 is not accepted", Want: "ip6tables: table filter: chain CNI-FORWARD lacks the rule -s fd77::", Do: command("ip6tables", "-F", "CNI-FORWARD")},
		{What: "the jump is gone", Want: "chain FORWARD lacks the rule -m comment --comment \"CNI firewall plugin rules\" -j CNI-FORWARD", Do: command("iptables", "-F", "FORWARD")},
		{What: "nothing is isolated", Want: "chain CNI-ISOLATION-STAGE-2 lacks the rule -o prevbr0", Do: command("iptables", "-F", "CNI-ISOLATION-STAGE-2")},
		{What: "everything is gone", Want: "chain CNI-FORWARD is missing", Do: command("sh", "-c", "iptables -F && iptables -X"), Alone: true},
	}
	return s
}

func withNftables() conformance.Suite {
	s := way("with nftables", conformance.Object{"backend": "nftables", "ingressPolicy": "same-bridge"})
	s.Needs = []string{"nftables"}
	s.Changed = func(*conformance.Host) conformance.Object { return conformance.Object{"backend": "firewalld"} }
	s.Breakages = []conformance.Breakage{
		{What: "IPv4 is not accepted", Want: "table ip cni_firewall: ", Do: command("nft", "flush", "set", "ip", "cni_firewall", "containers")},
		{What: "IPv6 is not accepted", Want: "table ip6 cni_firewall: ", Do: command("nft", "flush", "chain", "ip6", "cni_firewall", "forward")},
		{What: "nothing is isolated", Want: "table inet cni_isolation: set bridges lacks prevbr0", Do: command("nft", "flush", "set", "inet", "cni_isolation", "bridges")},
		{What: "everything is gone", Want: "table inet cni_isolation: ", Do: command("nft", "flush", "ruleset")},
	}
	return s
}

func command(name string, args ...string) func(conformance.Attachment) error {
	return func(a conformance.Attachment) error { return a.Host.Command(name, args...) }
}

func everyKey(*conformance.Host) conformance.Object {
	return conformance.Object{
		"backend": "iptables", "iptablesAdminChainName": "MY-RULES", "firewalldZone": "trusted", "ingressPolicy": "isolated",
	}
}
