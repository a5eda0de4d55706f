// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/conf"
)

func TestFlannel(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/meta/flannel")
}

// subnet files as flanneld writes them.
const (
	envV4 = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.7.1/24\n"
	envV6 = "FLANNEL_IPV6_NETWORK=fd00:244::/48\nFLANNEL_IPV6_SUBNET=fd00:244:0:7::1/64\n"
	rest  = "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
)

func parsed(text string) *subnetEnv {
	GinkgoHelper()
	env, err := parseSubnetEnv(text)
	Expect(err).NotTo(HaveOccurred())
	return env
}

// decoded is a configuration that ADD would take.
func decoded(text string) *Config {
	GinkgoHelper()
	var c Config
	var problems conf.Problems
	_, err := conf.Decode([]byte(text), &c, &problems)
	Expect(err).NotTo(HaveOccurred())
	c.Validate(&problems, nil)
	Expect(problems.Err()).NotTo(HaveOccurred())
	return &c
}

func asJSON(value any) string {
	GinkgoHelper()
	text, err := json.Marshal(value)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

var _ = DescribeTable("a subnet file",
	func(text, networks, subnets string, mtu int, ipMasq bool) {
		env := parsed(text)
		var gotNetworks, gotSubnets []string
		for _, f := range env.families() {
			gotSubnets = append(gotSubnets, f.subnet.String())
			for _, network := range f.networks {
				gotNetworks = append(gotNetworks, network.String())
			}
		}
		Expect([]any{asJSON(gotNetworks), asJSON(gotSubnets), env.mtu, env.ipMasq}).To(Equal([]any{networks, subnets, mtu, ipMasq}))
	},
	Entry("of IPv4", envV4+rest, `["10.244.0.0/16"]`, `["10.244.7.0/24"]`, 1450, true),
	Entry("of IPv6", envV6+rest, `["fd00:244::/48"]`, `["fd00:244:0:7::/64"]`, 1450, true),
	Entry("of both", envV4+envV6+rest, `["10.244.0.0/16","fd00:244::/48"]`, `["10.244.7.0/24","fd00:244:0:7::/64"]`, 1450, true),
	Entry("with several networks", "FLANNEL_NETWORK=10.244.0.0/16, 10.245.9.9/16,10.244.0.0/16\nFLANNEL_SUBNET=10.244.7.1/24\n"+rest,
		`["10.244.0.0/16","10.245.0.0/16"]`, `["10.244.7.0/24"]`, 1450, true),
	Entry("that somebody has edited", "# by hand\r\n\r\n FLANNEL_NETWORK = 10.244.0.0/16 \r\nFLANNEL_SUBNET=10.244.7.1/24\r\nOTHER=a=b\r\nFLANNEL_MTU=9\r\nFLANNEL_MTU=1400\r\nFLANNEL_IPMASQ=false",
		`["10.244.0.0/16"]`, `["10.244.7.0/24"]`, 1400, false),
)

var _ = DescribeTable("a subnet file that is no good",
	func(text string, wants ...string) {
		_, err := parseSubnetEnv(text)
		Expect(err).To(HaveOccurred())
		for _, want := range wants {
			Expect(err.Error()).To(ContainSubstring(want))
		}
	},
	Entry("empty", "", "is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ"),
	Entry("no values", "FLANNEL_NETWORK=\nFLANNEL_SUBNET=\nFLANNEL_MTU=\nFLANNEL_IPMASQ=", "is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ"),
	Entry("no subnet, no MTU", "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_IPMASQ=true", "is missing FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU"),
	Entry("a key alone", envV4+rest+"FLANNEL_MTU", `has "FLANNEL_MTU" in line 5 where KEY=VALUE is expected`),
	Entry("half a family", envV4+"FLANNEL_IPV6_SUBNET=fd00::1/64\n"+rest, "has only one of FLANNEL_IPV6_NETWORK and FLANNEL_IPV6_SUBNET"),
	Entry("families that do not meet", "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_IPV6_SUBNET=fd00::1/64\n"+rest, "has only one of FLANNEL_NETWORK and FLANNEL_SUBNET"),
	Entry("the other family", "FLANNEL_NETWORK=fd00::/48\nFLANNEL_SUBNET=::ffff:10.1.2.3/120\nFLANNEL_IPV6_NETWORK=10.0.0.0/8\nFLANNEL_IPV6_SUBNET=::ffff:10.1.2.3/120\n"+rest,
		"has fd00::/48 in FLANNEL_NETWORK, which is of the other", "FLANNEL_SUBNET,", "has 10.0.0.0/8 in FLANNEL_IPV6_NETWORK", "FLANNEL_IPV6_SUBNET,"),
	Entry("everything at once", "FLANNEL_NETWORK=10.0.0.0/8,x\nFLANNEL_SUBNET=10.1.2.3\nFLANNEL_MTU=many\nFLANNEL_IPMASQ=yes",
		`has "x" in FLANNEL_NETWORK`, `has "10.1.2.3" in FLANNEL_SUBNET`, `has "many" in FLANNEL_MTU`, `has "yes" in FLANNEL_IPMASQ`),
	Entry("an MTU no link can have", envV4+"FLANNEL_MTU=70000\nFLANNEL_IPMASQ=true", `has "70000" in FLANNEL_MTU`),
	Entry("no text", "\x00\xff\n=\n", "KEY=VALUE"),
)

var _ = DescribeTable("a configuration that makes no sense",
	func(text string, wants ...string) {
		err := Plugin.Lint([]byte(text))
		Expect(err).To(HaveOccurred())
		for _, want := range wants {
			Expect(err.Error()).To(ContainSubstring(want))
		}
	},
	Entry("what flannel sets", `{"name":"n","delegate":{"name":"x","IPAM":{}}}`, "delegate.name: is set by flannel", "delegate.ipam: is set by flannel"),
	Entry("a type that is none", `{"name":"n","delegate":{"type":5}}`, "delegate.type: the name of a plugin"),
	Entry("no type", `{"name":"n","delegate":{"type":""}}`, "delegate.type: the name of a plugin"),
	Entry("itself", `{"name":"n","delegate":{"type":"flannel"}}`, "delegate.type: flannel cannot delegate to itself"),
	Entry("itself for addresses", `{"name":"n","ipam":{"type":"flannel"}}`, "ipam.type: flannel is no IPAM plugin"),
	Entry("no object", `{"name":"n","delegate":"bridge","ipam":[]}`, "delegate: the string", "ipam: a list"),
	Entry("IPAM", `{"name":"n","ipam":{"type":5,"routes":[null,{"dst":"x"}]}}`, "ipam.type: the number 5", "ipam.routes[0]: null", `ipam.routes[1].dst: "x"`),
	Entry("an unknown key", `{"name":"n","subnetfile":"/x","delegat":{}}`, `delegat: unknown key (did you mean "delegate"?)`),
)

var _ = Describe("the delegate's configuration", func() {
	type golden struct{ config, env, want string }

	DescribeTable("on Linux",
		func(g golden) {
			got, err := decoded(g.config).onLinux(parsed(g.env))
			Expect(err).NotTo(HaveOccurred())
			Expect(asJSON(got)).To(MatchJSON(g.want))
		},
		Entry("by default", golden{
			`{"cniVersion":"1.0.0","name":"cbr0","type":"flannel"}`, envV4 + rest,
			`{"cniVersion":"1.0.0","name":"cbr0","type":"bridge","isGateway":true,"ipMasq":false,"mtu":1450,
			  "ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.7.0/24"}]],"routes":[{"dst":"10.244.0.0/16"}]}}`}),
		Entry("with IPv6 and several networks", golden{
			`{"name":"cbr0"}`, "FLANNEL_NETWORK=10.244.0.0/16,10.245.0.0/16\nFLANNEL_SUBNET=10.244.7.1/24\n" + envV6 + "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n",
			`{"name":"cbr0","type":"bridge","isGateway":true,"ipMasq":true,"mtu":1450,
			  "ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.7.0/24"}],[{"subnet":"fd00:244:0:7::/64"}]],
			  "routes":[{"dst":"10.244.0.0/16"},{"dst":"10.245.0.0/16"},{"dst":"fd00:244::/48"}]}}`}),
		Entry("with IPv6 alone", golden{
			`{"name":"cbr0"}`, envV6 + rest,
			`{"name":"cbr0","type":"bridge","isGateway":true,"ipMasq":false,"mtu":1450,
			  "ipam":{"type":"host-local","ranges":[[{"subnet":"fd00:244:0:7::/64"}]],"routes":[{"dst":"fd00:244::/48"}]}}`}),
		Entry("as the user wants it", golden{
			`{"cniVersion":"0.3.1","name":"cbr0","type":"flannel","dns":{"nameservers":["10.1.2.3"]},"runtimeConfig":{"mac":"02:00:00:00:00:01"},
			  "delegate":{"ipMasq":true,"MTU":9000,"isGateway":false,"hairpinMode":true,"vlan":5,"policies":[{"name":"x"}],"runtimeConfig":{"old":1},"cniVersion":"0.2.0"},
			  "ipam":{"type":"host-local","dataDir":"/d","ranges":[[{"subnet":"10.9.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0","gw":"10.244.7.9"}],"subnet":"10.8.0.0/24","rangeStart":"10.8.0.9"}}`,
			envV4 + rest,
			`{"cniVersion":"0.3.1","name":"cbr0","type":"bridge","ipMasq":true,"MTU":9000,"isGateway":false,"hairpinMode":true,"vlan":5,"policies":[{"name":"x"}],
			  "runtimeConfig":{"mac":"02:00:00:00:00:01"},
			  "ipam":{"type":"host-local","dataDir":"/d","ranges":[[{"subnet":"10.244.7.0/24"}]],"routes":[{"dst":"0.0.0.0/0","gw":"10.244.7.9"},{"dst":"10.244.0.0/16"}]}}`}),
		Entry("in whatever case", golden{
			`{"CNIVersion":"1.0.0","name":"cbr0","RuntimeConfig":{"mac":"02:00:00:00:00:01"},
			  "Delegate":{"Type":"bridge","IsGateway":false,"IPMasq":true,"CNIVersion":"0.2.0","RuntimeConfig":{"old":1}},
			  "IPAM":{"Type":"host-local","Subnet":"10.8.0.0/24","Gateway":"10.8.0.1","Ranges":[],"Routes":[{"Dst":"192.0.2.0/24"}]}}`, envV4 + rest,
			`{"cniVersion":"1.0.0","name":"cbr0","Type":"bridge","IsGateway":false,"IPMasq":true,"mtu":1450,"runtimeConfig":{"mac":"02:00:00:00:00:01"},
			  "ipam":{"Type":"host-local","ranges":[[{"subnet":"10.244.7.0/24"}]],"routes":[{"Dst":"192.0.2.0/24"},{"dst":"10.244.0.0/16"}]}}`}),
		Entry("with other plugins", golden{
			`{"name":"n","delegate":{"type":"macvlan","master":"eth0"},"ipam":{"type":"mine","subnet":"10.8.0.0/24","deep":{"a":[1,2.5,null]}}}`, envV4 + rest,
			`{"name":"n","type":"macvlan","master":"eth0","ipMasq":false,"mtu":1450,
			  "ipam":{"type":"mine","subnet":"10.8.0.0/24","deep":{"a":[1,2.5,null]},"ranges":[[{"subnet":"10.244.7.0/24"}]],"routes":[{"dst":"10.244.0.0/16"}]}}`}),
	)

	DescribeTable("on Windows",
		func(g golden) {
			got, err := decoded(g.config).onWindows(parsed(g.env))
			Expect(err).NotTo(HaveOccurred())
			Expect(asJSON(got)).To(MatchJSON(g.want))
		},
		Entry("by default", golden{
			`{"name":"flannel.4096"}`, "FLANNEL_NETWORK=10.244.0.0/16,10.245.0.0/16\nFLANNEL_SUBNET=10.244.7.1/24\n" + envV6 + rest,
			`{"cniVersion":"0.2.0","name":"flannel.4096","type":"win-bridge","ipMasq":true,"ipMasqNetwork":"10.244.0.0/16",
			  "ipam":{"type":"host-local","subnet":"10.244.7.0/24"}}`}),
		Entry("as the user wants it", golden{
			`{"cniVersion":"1.0.0","name":"vxlan0","runtimeConfig":{"dns":{"servers":["10.1.2.3"]}},"ipam":{"type":"mine"},
			  "delegate":{"type":"win-overlay","apiVersion":2,"ipMasq":true,"ipMasqNetwork":"10.0.0.0/8"}}`,
			envV4 + "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n",
			`{"cniVersion":"1.0.0","name":"vxlan0","type":"win-overlay","apiVersion":2,"ipMasq":false,"ipMasqNetwork":"10.244.0.0/16",
			  "runtimeConfig":{"dns":{"servers":["10.1.2.3"]}},"ipam":{"type":"host-local","subnet":"10.244.7.0/24"}}`}),
	)

	It("cannot be made on Windows without IPv4", func() {
		_, err := decoded(`{"name":"n"}`).onWindows(parsed(envV6 + rest))
		Expect(err).To(MatchError(ContainSubstring("FLANNEL_SUBNET")))
	})

	It("leaves out what flanneld has not said", func() {
		got, err := decoded(`{"name":"n"}`).onLinux(nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(asJSON(got)).To(MatchJSON(`{"name":"n","type":"bridge","isGateway":true,"ipam":{"type":"host-local"}}`))
		got, err = decoded(`{"name":"n"}`).onWindows(nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(asJSON(got)).To(MatchJSON(`{"cniVersion":"0.2.0","name":"n","type":"win-bridge","ipam":{"type":"host-local"}}`))
	})

	It("does not change what the user's stands in", func() {
		c := decoded(`{"name":"n","delegate":{"vlan":5},"ipam":{"routes":[{"dst":"10.0.0.0/8"}]}}`)
		first, _ := c.onLinux(parsed(envV4 + rest))
		second, _ := c.onLinux(parsed(envV4 + rest))
		Expect(asJSON(second)).To(Equal(asJSON(first)))
		Expect(c.Delegate).To(HaveLen(1))
	})
})

func FuzzSubnetEnv(f *testing.F) {
	for _, seed := range []string{"", envV4 + envV6 + rest, "FLANNEL_NETWORK", "FLANNEL_NETWORK=,,\n=\nFLANNEL_MTU=-1", "FLANNEL_SUBNET=\xff/0\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		env, err := parseSubnetEnv(text)
		if err != nil {
			return
		}
		if len(env.families()) == 0 || env.mtu < 0 || env.mtu > maxMTU {
			t.Errorf("%q gives %+v", text, env)
		}
		for _, family := range env.families() {
			if len(family.networks) == 0 {
				t.Errorf("%q has a subnet without a network", text)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(`{"name":"n","delegate":{"type":"bridge","vlan":5},"ipam":{"type":"host-local","routes":[{"dst":"10.0.0.0/8"}]}}`)
	f.Add(`{"delegate":{"Type":null},"ipam":{"routes":[null]},"runtimeConfig":[]}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var c Config
		var p conf.Problems
		if _, err := conf.Decode([]byte(text), &c, &p); err == nil {
			c.Validate(&p, nil)
		}
		for _, configure := range []func(*subnetEnv) (map[string]any, error){c.onLinux, c.onWindows} {
			_, _ = configure(nil)
			_, _ = configure(&subnetEnv{})
		}
	})
}
