// SPDX-License-Identifier: Apache-2.0

package ip_test

import (
	"net"
	"os/exec"
	"regexp"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	nft "github.com/google/nftables"
	"github.com/google/nftables/expr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ip"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils"
	"github.com/containernetworking/plugins/pkg/utils/masqrules"
)

// fourAttachments is what nft lists after setUpFour.
const fourAttachments = `table inet cni_plugins_masquerade {
	chain masq_checks {
		ip saddr 192.168.1.1 ip daddr != 192.168.1.0/24 masquerade comment "6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one"
		ip saddr 192.168.1.2 ip daddr != 192.168.1.0/24 masquerade comment "6fd94d501e58f0aa-d750b2c8f0f25d5f, net: unit-test, if: eth0, id: two"
		ip6 saddr 2001:db8::2 ip6 daddr != 2001:db8::/64 masquerade comment "6fd94d501e58f0aa-d750b2c8f0f25d5f, net: unit-test, if: eth0, id: two"
		ip saddr 192.168.1.3 ip daddr != 192.168.1.0/24 masquerade comment "6fd94d501e58f0aa-a4d4adb82b669cfe, net: unit-test, if: eth0, id: three"
		ip saddr 192.168.99.5 ip daddr != 192.168.99.0/24 masquerade comment "82783ef24bdc7036-e766de567ef6c543, net: alternate, if: eth0, id: four"
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip daddr 224.0.0.0/4 return
		ip6 daddr ff00::/8 return
		goto masq_checks
	}
}
`

var _ = Describe("Masquerading in the shapes of version 1.9", func() {
	nftables, iptables := "nftables", "iptables"

	inNewNS := func(f func()) func() { return func() { testutils.Inside(testutils.TempNS(GinkgoT()), f) } }
	run := func(script string) string {
		GinkgoHelper()
		output, err := exec.Command("/bin/sh", "-e", "-c", script).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s\n%s", script, output)
		return string(output)
	}
	addrs := func(list ...string) (parsed []*net.IPNet) {
		GinkgoHelper()
		for _, text := range list {
			addr, ipn, err := net.ParseCIDR(text)
			Expect(err).NotTo(HaveOccurred())
			parsed = append(parsed, &net.IPNet{IP: addr, Mask: ipn.Mask})
		}
		return parsed
	}

	Describe("with nftables", func() {
		BeforeEach(func() { testutils.Need(GinkgoT(), "root", "nftables", "nft-tool") })

		setUp := func(network, container string, list ...string) {
			GinkgoHelper()
			Expect(ip.SetupIPMasqForNetworks(&nftables, addrs(list...), network, "eth0", container)).To(Succeed())
		}
		setUpFour := func() {
			GinkgoHelper()
			setUp("unit-test", "one", "192.168.1.1/24")
			setUp("unit-test", "two", "192.168.1.2/24", "2001:db8::2/64")
			setUp("unit-test", "three", "192.168.1.3/24")
			setUp("alternate", "four", "192.168.99.5/24")
		}
		without := func(parts ...string) string {
			rest := fourAttachments
			for _, part := range parts {
				rest = regexp.MustCompile(`(?m)^.*`+regexp.QuoteMeta(part)+`.*\n`).ReplaceAllString(rest, "")
			}
			return rest
		}

		It("writes one rule for each address", inNewNS(func() {
			setUpFour()
			Expect(run("nft list ruleset")).To(Equal(fourAttachments))
		}))

		It("changes nothing when done again", inNewNS(func() {
			setUpFour()
			setUp("alternate", "four", "192.168.99.5/24")
			Expect(run("nft list ruleset")).To(Equal(fourAttachments))
		}))

		It("removes an attachment's own rules, whatever its addresses", inNewNS(func() {
			setUpFour()
			Expect(ip.TeardownIPMasqForNetworks(addrs("192.168.1.2/24"), "unit-test", "eth0", "two")).To(Succeed())
			Expect(run("nft list table inet cni_plugins_masquerade")).To(Equal(without("id: two")))
			Expect(masqrules.Remove("unit-test", "eth0", "three")).To(Succeed())
			Expect(run("nft list table inet cni_plugins_masquerade")).To(Equal(without("id: two", "id: three")))
		}))

		It("keeps the rules of a new container with the address of an old one", inNewNS(func() {
			setUp("unit-test", "old", "192.168.1.1/24")
			setUpFour()
			Expect(masqrules.Remove("unit-test", "eth0", "old")).To(Succeed())
			Expect(run("nft list ruleset")).To(Equal(fourAttachments))
		}))

		It("collects the network's attachments that are not valid", inNewNS(func() {
			setUpFour()
			valid := []types.GCAttachment{{IfName: "eth0", ContainerID: "one"}, {IfName: "eth0", ContainerID: "three"}, {IfName: "eth7", ContainerID: "two"}, {IfName: "eth0", ContainerID: "four"}}
			Expect(ip.GCIPMasqForNetwork("unit-test", valid)).To(Succeed())
			Expect(run("nft list ruleset")).To(Equal(without("id: two")))
			before := run("nft -a list ruleset")
			Expect(ip.GCIPMasqForNetwork("unit-test", valid)).To(Succeed())
			Expect(run("nft -a list ruleset")).To(Equal(before))
			Expect(ip.GCIPMasqForNetwork("unit-test", nil)).To(Succeed())
			Expect(run("nft list ruleset")).To(Equal(without("net: unit-test")))
		}))

		It("removes nothing where there is nothing", inNewNS(func() {
			Expect(masqrules.Remove("unit-test", "eth0", "one")).To(Succeed())
			Expect(ip.GCIPMasqForNetwork("unit-test", nil)).To(Succeed())
			Expect(run("nft list ruleset")).To(BeEmpty())
		}))

		It("leaves a rule alone whose user data nobody understands", inNewNS(func() {
			setUp("unit-test", "one", "192.168.1.1/24")
			c, err := nft.New()
			Expect(err).NotTo(HaveOccurred())
			table := &nft.Table{Name: "cni_plugins_masquerade", Family: nft.TableFamilyINet}
			c.AddRule(&nft.Rule{Table: table, Chain: &nft.Chain{Name: "masq_checks", Table: table}, UserData: []byte{0, 200, 'x'}, Exprs: []expr.Any{&expr.Counter{}}})
			Expect(c.Flush()).To(Succeed())
			Expect(ip.GCIPMasqForNetwork("unit-test", nil)).To(Succeed())
			Expect(run("nft list chain inet cni_plugins_masquerade masq_checks")).To(And(ContainSubstring("counter"), Not(ContainSubstring("192.168.1.1"))))
		}))

		It("removes quotes from comments and cuts them at 128 bytes", inNewNS(func() {
			setUp(`with "quotes"`, strings.Repeat("c", 100), "192.168.1.1/24")
			listing := run("nft list ruleset")
			Expect(listing).To(ContainSubstring(", net: with quotes, if: eth0, id: cccc"))
			Expect(regexp.MustCompile(`comment "([^"]*)"`).FindStringSubmatch(listing)[1]).To(HaveLen(128))
			Expect(masqrules.Remove(`with "quotes"`, "eth0", strings.Repeat("c", 100))).To(Succeed())
			Expect(run("nft list ruleset")).NotTo(ContainSubstring("quotes"))
		}))
	})

	Describe("with iptables", func() {
		BeforeEach(func() { testutils.Need(GinkgoT(), "root", "iptables", "ip6tables") })

		rules := func() string {
			return regexp.MustCompile(`(?m)^([#*:].*|COMMIT)\n`).ReplaceAllString(run("iptables-save -t nat; ip6tables-save -t nat"), "")
		}
		expected := strings.NewReplacer("CHAIN", utils.FormatChainName("net", "c1"), "COMMENT", `-m comment --comment "name: \"net\" id: \"c1\""`).Replace(
			`-A POSTROUTING -s 10.1.0.2/32 COMMENT -j CHAIN
-A CHAIN -d 10.1.0.0/24 COMMENT -j ACCEPT
-A CHAIN ! -d 224.0.0.0/4 COMMENT -j MASQUERADE
-A POSTROUTING -s fd00::2/128 COMMENT -j CHAIN
-A CHAIN -d fd00::/64 COMMENT -j ACCEPT
-A CHAIN ! -d ff00::/8 COMMENT -j MASQUERADE
`)

		It("writes a chain and a jump, once, and removes them", inNewNS(func() {
			for range 2 {
				Expect(ip.SetupIPMasqForNetworks(&iptables, addrs("10.1.0.2/24", "fd00::2/64"), "net", "eth0", "c1")).To(Succeed())
				Expect(rules()).To(Equal(expected))
			}
			for range 2 {
				Expect(ip.TeardownIPMasqForNetworks(addrs("10.1.0.2/24", "fd00::2/64"), "net", "eth0", "c1")).To(Succeed())
				Expect(rules()).To(BeEmpty())
				Expect(run("iptables-save -t nat; ip6tables-save -t nat")).NotTo(ContainSubstring("CNI-"))
			}
		}))

		It("spares all subnets of several addresses, and removes everything at once", inNewNS(func() {
			several := addrs("10.1.2.3/24", "10.1.3.3/24", "fd00::2/64")
			Expect(ip.SetupIPMasqForNetworks(&iptables, several, "net", "eth0", "c1")).To(Succeed())
			Expect(rules()).To(MatchRegexp(`(?s)-d 10.1.3.0/24.*ACCEPT.*-d 10.1.2.0/24.*ACCEPT.*-d 224.0.0.0/4.*MASQUERADE`))
			Expect(ip.TeardownIPMasqForNetworks(several, "net", "eth0", "c1")).To(Succeed())
			Expect(run("iptables-save -t nat; ip6tables-save -t nat")).NotTo(ContainSubstring("CNI-"))
		}))

		It("is what no backend stands for", inNewNS(func() {
			Expect(ip.SetupIPMasqForNetworks(nil, addrs("10.1.0.2/24", "fd00::2/64"), "net", "eth0", "c1")).To(Succeed())
			Expect(rules()).To(Equal(expected))
		}))

		It("removes the jump of before 2019 too", inNewNS(func() {
			chain, comment := utils.FormatChainName("net", "c1"), utils.FormatComment("net", "c1")
			Expect(ip.SetupIPMasq(addrs("10.1.0.2/24")[0], chain, comment)).To(Succeed())
			run(`iptables -t nat -A POSTROUTING -s 10.1.0.2/24 -j ` + chain + ` -m comment --comment '` + comment + `'`)
			Expect(ip.TeardownIPMasq(addrs("10.1.0.2/24")[0], chain, comment)).To(Succeed())
			Expect(rules()).To(BeEmpty())
		}))
	})

	It("refuses other backends", func() {
		other := "ipfw"
		Expect(ip.SetupIPMasqForNetworks(&other, nil, "net", "eth0", "c1")).To(MatchError(`unknown ipmasq backend "ipfw": want iptables or nftables`))
	})
})
