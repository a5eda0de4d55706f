// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"errors"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
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

var _ = DescribeTable("the bridge of an ingress policy",
	func(name, problem string) {
		prev := &current.Result{Interfaces: []*current.Interface{{Name: name}}}
		for _, policy := range netfilter.IngressPolicies() {
			passage, err := (&Config{IngressPolicy: policy}).passage(prev)
			if problem == "" {
				Expect(err).NotTo(HaveOccurred())
				Expect(passage.Ingress.Bridge).To(Equal(name))
				continue
			}
			Expect(err).To(MatchError("prevResult.interfaces[0].name: " + problem))
			var refused *types.Error
			Expect(errors.As(err, &refused)).To(BeTrue())
			Expect(refused.Code).To(Equal(types.ErrInvalidNetworkConfig))
		}
		_, err := new(Config).passage(prev)
		Expect(err).NotTo(HaveOccurred(), "nobody asks for it without a policy")
	},
	Entry("is an interface", "cni0", ""),
	Entry("has a name of 15 bytes", "cni-podman0.100", ""),
	Entry("has a name with unusual characters", `b+r!"#'`, ""),
	Entry("has a name of 16 bytes", "cni-podman0.1000", `"cni-podman0.1000" is longer than the 15 bytes that the kernel allows`),
	Entry("has a name of two words", "a b", `"a b" cannot be the name of an interface`+notOfInterface),
	Entry("has the name of a path", "a/b", `"a/b" cannot be the name of an interface`+notOfInterface),
	Entry("has the name of a directory", "..", `".." cannot be the name of an interface`+notOfInterface),
	Entry("has a name that iptables takes for many", "br+", `"br+" cannot be the bridge: with + at its end, or ! in front, iptables takes it for something else than a name`),
	Entry("has a name that iptables takes for all", "+", `"+" cannot be the bridge: with + at its end, or ! in front, iptables takes it for something else than a name`),
	Entry("has a name with a negation", "!br0", `"!br0" cannot be the bridge: with + at its end, or ! in front, iptables takes it for something else than a name`),
)

const notOfInterface = ": it must not be . or .., nor contain a slash, colon, per cent sign or white space"

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
