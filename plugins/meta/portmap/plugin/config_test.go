// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"fmt"
	"net/netip"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
)

var _ = DescribeTable("a configuration that makes no sense",
	func(keys, want string) {
		err := Plugin.Lint([]byte(`{"name":"n",` + keys + `}`))
		Expect(err).To(MatchError(ContainSubstring(want)))
		Expect(testrig.Code(err)).To(Equal(types.ErrInvalidNetworkConfig))
	},
	Entry(nil, `"backend":"ipchains"`, `backend: "ipchains" is not one of nftables, iptables`),
	Entry(nil, `"markMasqBit":32`, "markMasqBit: 32 is outside 0-31"),
	Entry(nil, `"markMasqBit":5,"externalSetMarkChain":"KUBE-MARK-MASQ"`, "externalSetMarkChain: excludes markMasqBit"),
	Entry(nil, `"externalSetMarkChain":"A\n-F"`, "externalSetMarkChain: "),
	Entry(nil, `"externalSetMarkChain":"a chain"`, "externalSetMarkChain: "),
	Entry(nil, `"externalSetMarkChain":"a-chain-with-a-name-of-29-cha"`, "externalSetMarkChain: "),
	Entry(nil, `"backend":"nftables","externalSetMarkChain":"X","conditionsV6":["!","-s","::1"]`,
		"nftables backend was requested but configuration contains iptables-specific options [externalSetMarkChain conditionsV6]"),
	Entry(nil, `"backend":"iptables","conditionsV4":["ip","saddr","192.0.2.1"]`,
		"iptables backend was requested but configuration contains nftables-specific options [conditionsV4]"),
	Entry("the backend is implied", `"externalSetMarkChain":"X","conditionsV4":["ip","saddr","192.0.2.1"]`,
		"iptables backend was requested but configuration contains nftables-specific options [conditionsV4]"),
	Entry(nil, `"conditionsV4":[""]`, `conditionsV4[0]: "" is no part of a match`),
	Entry(nil, `"conditionsV4":["-s","1.2.3.4\nCOMMIT"]`, `conditionsV4[1]: `),
	Entry(nil, `"conditionsV4":["ct","state","new"]`, `conditionsV4: "ct state" is none of the matches`),
	Entry(nil, `"conditionsV6":["ip","saddr","192.0.2.1"]`, `conditionsV6: "ip saddr" is none of the matches`),
	Entry(nil, `"conditionsV4":["ip","saddr","fd00::1"]`, `conditionsV4: "fd00::1" is neither an address nor a prefix of the family`),
	Entry(nil, `"conditionsV4":["ip","saddr"]`, `conditionsV4: a value is missing`),
	Entry(nil, `"conditionsV4":["ip saddr {192.0.2.1,192.0.2.2}"]`, `conditionsV4: a set { } needs !=`),
)

var _ = DescribeTable("a mapping that makes no sense",
	func(mapping, want string) {
		err := Plugin.Lint([]byte(`{"name":"n","runtimeConfig":{"portMappings":[{"hostPort":1,"containerPort":1,"protocol":"tcp"},` + mapping + `]}}`))
		Expect(err).To(MatchError(ContainSubstring("runtimeConfig.portMappings[1]" + want)))
		Expect(testrig.Code(err)).To(Equal(types.ErrInvalidNetworkConfig))
	},
	Entry(nil, mapping(0, 80, "tcp"), ".hostPort: 0 is outside 1-65535"),
	Entry(nil, mapping(70000, 80, "tcp"), ".hostPort: 70000 is outside 1-65535"),
	Entry(nil, mapping(80, -1, "tcp"), ".containerPort: -1 is outside 1-65535"),
	Entry(nil, mapping(80, 80, "icmp"), `.protocol: "icmp" is not one of sctp, tcp, udp`),
	Entry(nil, mapping(80, 80, ""), `.protocol: "" is not one of sctp, tcp, udp`),
	Entry(nil, mapping(80, 80, "tcp", `,"hostIP":"not-an-ip"`), `.hostIP: "not-an-ip" is not an IP address`),
	Entry(nil, mapping(80, 80, "tcp", `,"hostIP":"fe80::1%eth0"`), `.hostIP: `),
	Entry(nil, mapping(1, 2, "TCP"), `: 1/tcp leads to port 1 already, by portMappings[0]`),
	Entry(nil, `null`, `: null where an object is expected`),
	Entry(nil, `{"hostPort":"80","containerPort":80,"protocol":"tcp"}`, `.hostPort: the string "80"`),
)

var _ = It("reports everything that is wrong at once", func() {
	Expect(Plugin.Lint([]byte(`{"name":"n","runtimeConfig":{"portMappings":[{"hostPort":"80","containerPort":80,"protocol":"tcp"},{"hostPort":"80","containerPort":81,"protocol":"tcp"}]}}`))).
		To(MatchError(`portmap: runtimeConfig.portMappings[0].hostPort: the string "80" where an integer is expected; runtimeConfig.portMappings[1].hostPort: the string "80" where an integer is expected`))
	err := Plugin.Lint([]byte(`{"name":"n","markMasqBit":99,"backend":"x","runtimeConfig":{"portMappings":[` + mapping(0, 0, "x") + `]}}`))
	for _, path := range []string{"markMasqBit: ", "backend: ", ".hostPort: ", ".containerPort: ", ".protocol: "} {
		Expect(err).To(MatchError(ContainSubstring(path)))
	}
})

// decoded is a configuration that makes sense.
func decoded(text string) *Config {
	GinkgoHelper()
	var problems conf.Problems
	c := new(Config)
	c.Default()
	_, err := conf.Decode([]byte(text), c, &problems)
	Expect(err).NotTo(HaveOccurred())
	c.Validate(&problems, nil)
	Expect(problems.Err()).To(Succeed())
	return c
}

var _ = DescribeTable("the backend", func(keys, want string) { Expect(decoded(keys).backend()).To(Equal(want)) },
	Entry("is the kernel's affair", `{"markMasqBit":5,"masqAll":true}`, ""),
	Entry("is named", `{"backend":"iptables"}`, "iptables"),
	Entry("is implied by a chain", `{"externalSetMarkChain":"KUBE-MARK-MASQ"}`, "iptables"),
	Entry("is implied by conditions", `{"conditionsV4":["!","-d","192.0.2.0/24"]}`, "iptables"),
	Entry("is not implied by nft's", `{"conditionsV4":["ip","daddr","!=","192.0.2.0/24"]}`, ""),
)

var _ = Describe("the plan", func() {
	ips := func(pairs ...string) *current.Result {
		result := &current.Result{Interfaces: []*current.Interface{{Name: "br0"}, {Name: "eth0", Sandbox: "/x"}, {Name: "eth1", Sandbox: "/x"}}}
		for i := 0; i < len(pairs); i += 2 {
			network, err := types.ParseCIDR(pairs[i])
			Expect(err).NotTo(HaveOccurred())
			ip := &current.IPConfig{Address: *network}
			if index := map[string]int{"br0": 0, "eth0": 1, "eth1": 2}; pairs[i+1] != "" {
				ip.Interface = current.Int(index[pairs[i+1]])
			}
			result.IPs = append(result.IPs, ip)
		}
		return result
	}
	of := func(prev *current.Result, keys string) netfilter.HostPorts {
		return plan(&plugin.Request{IfName: "eth0", Prev: prev}, decoded(keys))
	}
	mappings := func(list ...string) string {
		text := ""
		for _, m := range list {
			text += "," + m
		}
		return fmt.Sprintf(`{"runtimeConfig":{"portMappings":[%s]}}`, text[1:])
	}

	It("leads to the first address of each family of the container's interface", func() {
		ports := of(ips("10.0.0.1/24", "br0", "10.0.9.9/24", "eth1", "10.0.0.2/24", "eth0", "10.0.0.3/24", "eth0", "fd00::2/64", "", "fd00::3/64", "eth0"),
			mappings(mapping(8080, 80, "TCP")))
		Expect(fmt.Sprint(ports.Containers)).To(Equal("[10.0.0.2/24 fd00::2/64]"))
		Expect(fmt.Sprint(ports.Mappings)).To(Equal("[8080/tcp]"))
		Expect(ports.SNAT).To(BeTrue())
		Expect(ports.MarkBit).To(BeEquivalentTo(13))
	})

	It("leads to a link-local address of IPv4 if there is no other, and to none of IPv6", func() {
		containers := func(pairs ...string) string {
			return fmt.Sprint(of(ips(pairs...), mappings(mapping(8080, 80, "tcp"))).Containers)
		}
		Expect(containers("fe80::5/64", "eth0", "169.254.7.5/16", "eth0", "fd00::2/64", "eth0", "10.0.0.2/24", "eth0")).To(Equal("[10.0.0.2/24 fd00::2/64]"))
		Expect(containers("fe80::5/64", "eth0", "169.254.7.5/16", "eth0", "169.254.7.6/16", "eth0", "10.0.0.2/24", "eth1")).To(Equal("[169.254.7.5/16]"))
		Expect(of(ips("fe80::5/64", "eth0"), mappings(mapping(8080, 80, "tcp"))).Mappings).To(BeEmpty())
	})

	It("takes a host's address for one of its family", func() {
		prev := ips("10.0.0.2/24", "eth0", "fd00::2/64", "eth0")
		Expect(fmt.Sprint(of(prev, mappings(mapping(1, 1, "tcp", `,"hostIP":"0.0.0.0"`))).Containers)).To(Equal("[10.0.0.2/24]"))
		Expect(fmt.Sprint(of(prev, mappings(mapping(1, 1, "tcp", `,"hostIP":"::"`))).Containers)).To(Equal("[fd00::2/64]"))
		Expect(fmt.Sprint(of(prev, mappings(mapping(1, 1, "tcp", `,"hostIP":"::ffff:192.0.2.1"`))).Mappings)).To(Equal("[192.0.2.1:1/tcp]"))
	})

	It("leads to another port with each family", func() {
		ports := of(ips("10.0.0.2/24", "eth0", "fd00::2/64", "eth0"),
			mappings(mapping(1, 1, "tcp", `,"hostIP":"0.0.0.0"`), mapping(1, 2, "tcp", `,"hostIP":"::"`), mapping(1, 3, "tcp", `,"hostIP":"192.0.2.1"`)))
		Expect(ports.Mappings).To(HaveLen(3))
		for _, wanted := range []string{"", "0.0.0.0", "::"} {
			err := Plugin.Lint([]byte(`{"name":"n",` + mappings(mapping(1, 1, "tcp", `,"hostIP":"0.0.0.0"`), mapping(1, 2, "tcp", `,"hostIP":"::"`), mapping(1, 3, "tcp", `,"hostIP":"`+wanted+`"`))[1:]))
			Expect(err).To(MatchError(ContainSubstring("portMappings[2]: 1/tcp leads to port ")))
		}
	})

	It("leaves out what the container has no address for, and what is said twice", func() {
		ports := of(ips("10.0.0.2/24", "eth0"), mappings(mapping(1, 1, "tcp", `,"hostIP":"2001:db8::1"`), mapping(2, 2, "udp"), mapping(2, 2, "udp")))
		Expect(fmt.Sprint(ports.Mappings)).To(Equal("[2/udp]"))
		Expect(of(ips("10.0.0.2/24", "br0"), mappings(mapping(1, 1, "tcp"))).Mappings).To(BeEmpty())
		Expect(of(nil, mappings(mapping(1, 1, "tcp"))).Mappings).To(BeEmpty())
	})
})

var _ = It("forgets connections of the families that the container has addresses of", func() {
	ports := netfilter.HostPorts{
		Containers: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")},
		Mappings: []netfilter.PortMapping{
			{Protocol: "udp", HostPort: 53, ContainerPort: 53}, {Protocol: "udp", HostIP: netip.MustParseAddr("192.0.2.1"), HostPort: 53, ContainerPort: 54},
			{Protocol: "udp", HostIP: netip.MustParseAddr("2001:db8::1"), HostPort: 54, ContainerPort: 53}, {Protocol: "udp"}, {Protocol: "icmp", HostPort: 1},
		},
	}
	filters := connectionsTo(ports, leftBy(plugin.Owner{}, ports))
	Expect(filters).To(HaveLen(1))
	Expect(filters[0].Family).To(BeEquivalentTo(netlink.FAMILY_V4))
	Expect(filters[0].DstPort).To(BeEquivalentTo(53))
	ports.Containers = append(ports.Containers, netip.MustParsePrefix("fd00::2/64"))
	Expect(connectionsTo(ports, leftBy(plugin.Owner{}, ports))).To(HaveLen(3))
})

func FuzzParse(f *testing.F) {
	f.Add(`{"name":"n","backend":"nftables","conditionsV4":["ip","saddr","!=","{1.2.3.4}"],"runtimeConfig":{"portMappings":[{"hostPort":1}]}}`)
	f.Add(`{"conditionsV4":["iifname","\"e*\"","tcp dport 1-2 meta mark 0x1"],"RuntimeConfig":{"PortMappings":[{"HostIP":"::1"},null]},"markMasqBit":-1}`)
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
	f.Add([]byte(`{"backend":"iptables","ports":{"containers":["10.88.0.2/16"],"mappings":[{"protocol":"tcp","hostIP":"127.0.0.1","hostPort":8080,"containerPort":80}],"snat":true,"markBit":13}}`))
	f.Add([]byte(`{"backend":7,"ports":{"containers":["","fd00::/999"],"mappings":[{"hostIP":"fe80::1%x"},null],"markBit":-1}}`))
	f.Fuzz(func(_ *testing.T, content []byte) {
		was := store().Decode(intent.Intent{Content: content})
		for _, d := range was.all() {
			for _, mappings := range byPort(d.Ports) {
				_ = isMapped(netip.MustParseAddr("192.0.2.1"), mappings)
				_ = mappings[0].String()
			}
			_, _ = deviceTo(d.Ports, loopbackIPv4())
		}
	})
}
