// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/pkg/conf"
)

func TestFirewall(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/meta/firewall")
}

var _ = DescribeTable("a configuration that makes no sense",
	func(text, want string) {
		Expect(Plugin.Lint([]byte(text))).To(MatchError(ContainSubstring(want)))
	},
	Entry("backend", `{"name":"n","backend":"pf"}`, `backend: "pf" is not one of nftables, iptables, firewalld`),
	Entry("policy", `{"name":"n","ingressPolicy":"closed"}`, `ingressPolicy: "closed" is not one of open, same-bridge, isolated`),
	Entry("admin chain too long", `{"name":"n","iptablesAdminChainName":"`+strings.Repeat("x", 29)+`"}`, "has 29 bytes, at most 28"),
	Entry("admin chain of two words", `{"name":"n","iptablesAdminChainName":"a b"}`, `"a b" is not a name`),
	Entry("admin chain like an option", `{"name":"n","iptablesAdminChainName":"-F"}`, `"-F" is not a name`),
	Entry("admin chain of ours", `{"name":"n","iptablesAdminChainName":"CNI-FORWARD"}`, "has a meaning of its own"),
	Entry("admin chain like a record", `{"name":"n","iptablesAdminChainName":"CNI-FW-x"}`, "has a meaning of its own"),
	Entry("admin chain of iptables", `{"name":"n","iptablesAdminChainName":"FORWARD"}`, "has a meaning of its own"),
	Entry("target of iptables", `{"name":"n","iptablesAdminChainName":"ACCEPT"}`, "has a meaning of its own"),
	Entry("zone too long", `{"name":"n","firewalldZone":"`+strings.Repeat("x", 18)+`"}`, "has 18 bytes, at most 17"),
	Entry("the key that old documentation has", `{"name":"n","zone":"trusted"}`, "zone: unknown key"),
)

var _ = DescribeTable("a configuration that makes sense",
	func(text string) { Expect(Plugin.Lint([]byte(text))).To(Succeed()) },
	Entry("nothing", `{"name":"n"}`),
	Entry("empty values", `{"name":"n","backend":"","iptablesAdminChainName":"","firewalldZone":"","ingressPolicy":""}`),
	Entry("everything", `{"name":"n","backend":"firewalld","iptablesAdminChainName":"MY-RULES","firewalldZone":"internal","ingressPolicy":"isolated"}`),
)

func FuzzParse(f *testing.F) {
	f.Add(`{"name":"n","backend":"iptables","iptablesAdminChainName":"CNI-ADMIN","ingressPolicy":"isolated"}`)
	f.Add(`{"backend":7,"firewalldZone":["x"],"ingressPolicy":null}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var c Config
		var p conf.Problems
		if _, err := conf.Decode([]byte(text), &c, &p); err == nil {
			c.Validate(&p, nil)
		}
		_ = p.Err()
	})
}

// FuzzIntended wants nothing that is below /run/cni to end in a panic.
func FuzzIntended(f *testing.F) {
	f.Add([]byte(`{"backend":"nftables","zone":"trusted","passage":{"addresses":["10.1.0.2"],"ingress":{"bridge":"br0","policy":"isolated"}},"since":"2026-11-28T17:00:00Z"}`))
	f.Add([]byte(`{"passage":{"addresses":["",null],"ingress":{"policy":"x"}},"since":"yesterday"}`))
	f.Fuzz(func(_ *testing.T, content []byte) {
		was := store().Decode(intent.Intent{Content: content})
		_ = was.following(latestPolicies([]intent.Intent{{Content: content}, {}}))
		for _, addr := range was.Passage.Addrs {
			_ = source(addr)
		}
	})
}
