// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

const dropForwarded = "iptables -w -P FORWARD DROP; ip6tables -w -P FORWARD DROP"

// acceptForwarded is what the host's owner would add for one bridge.
const acceptForwarded = `for t in iptables ip6tables; do $t -w -A FORWARD -i br0 -j ACCEPT
$t -w -A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; done`

// others is what other programs have in the table filter: Docker, which drops
// what it does not know, and kube-proxy.
const others = `for t in iptables ip6tables; do
$t -w -P FORWARD DROP
for c in DOCKER DOCKER-USER DOCKER-ISOLATION-STAGE-1 KUBE-FORWARD; do $t -w -N $c; done
$t -w -A FORWARD -j DOCKER-USER
$t -w -A FORWARD -j DOCKER-ISOLATION-STAGE-1
$t -w -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
$t -w -A FORWARD -o docker0 -j DOCKER
$t -w -A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
$t -w -A DOCKER-USER -j RETURN
$t -w -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j RETURN
$t -w -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
$t -w -A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
$t -w -t nat -N KUBE-MARK-MASQ
$t -w -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
done`

var _ = Describe("packets", func() {
	var l *lab

	// passWith wants a container to get out with the plugin only.
	passWith := func(rest string) {
		GinkgoHelper()
		misses(l.one, l.world())
		l.add(l.one, rest)
		gets(l.one, l.world())
		misses(l.two, l.world())
		Expect(testrig.Misses(l.outside, l.one.Netns, l.one.v4)).To(BeTrue(), "nobody may call the container")
		Expect(testrig.Misses(l.outside, l.one.Netns, l.one.v6)).To(BeTrue(), "nobody may call the container")
		Expect(l.check(l.one, rest)).To(Succeed())
		l.Del(l.one.Container, withoutPrev(rest))
		misses(l.one, l.world())
	}

	DescribeTable("that a policy drops pass with the plugin",
		func(variant, rest string) {
			testutils.Need(GinkgoT(), "iptables-"+variant, "ip6tables-"+variant)
			l = newLab()
			preferring(variant)
			within(l.Host, dropForwarded)
			passWith(rest)
		},
		Entry("by iptables-nft", "nft", `,"backend":"iptables"`),
		Entry("by iptables-legacy", "legacy", `,"backend":"iptables"`),
		Entry("without a backend, by iptables-nft", "nft", ``),
		Entry("without a backend, by iptables-legacy", "legacy", ``),
	)

	It("pass beside Docker and kube-proxy, whose rules stay", func() {
		l = newLab()
		within(l.Host, others)
		before := filterRules(l, "CNI-")
		passWith(``)
		Expect(filterRules(l, "CNI-")).To(Equal(before))
	})

	It("are let pass by rules of the owner's among ours, which stay", func() {
		testutils.Need(GinkgoT(), "iptables-nft", "ip6tables-nft")
		l = newLab()
		preferring("nft")
		within(l.Host, dropForwarded)
		const iptables = `,"backend":"iptables"`
		l.add(l.one, iptables)
		within(l.Host, `iptables -A CNI-FORWARD ! -s 10.1.0.2 -p icmp -j ACCEPT; iptables -A CNI-FORWARD ! -s 10.1.0.2 -j ACCEPT
			ip6tables -A CNI-FORWARD ! -s fd01::2 -j ACCEPT
			nft add rule ip filter CNI-FORWARD ip saddr { 10.9.0.1, 10.9.0.2 } iifname eth9 accept`)
		before := l.rules()
		l.Del(l.one.Container, withoutPrev(iptables))
		Expect(l.rules()).To(ContainSubstring("eth9"))
		Expect(l.rules()).NotTo(ContainSubstring("test/one/eth0"))
		misses(l.one, l.world())
		gets(l.two, l.world())
		l.add(l.one, iptables)
		Expect(strings.Split(l.rules(), "\n")).To(ConsistOf(strings.Split(before, "\n")))
		l.Del(l.one.Container, withoutPrev(iptables))
	})

	It("pass again after somebody has flushed the rules, with the next ADD", func() {
		l = newLab()
		within(l.Host, dropForwarded)
		const same = `,"backend":"iptables","ingressPolicy":"same-bridge"`
		l.add(l.one, same)
		l.add(l.two, same)
		before := l.rules()
		within(l.Host, "iptables -F FORWARD; ip6tables -F FORWARD; iptables -F CNI-ISOLATION-STAGE-1; ip6tables -F CNI-FORWARD")
		Expect(l.check(l.one, same)).To(MatchError(And(
			ContainSubstring("iptables: table filter: chain FORWARD lacks the rule"), ContainSubstring("ip6tables: table filter: chain CNI-FORWARD lacks"))))
		misses(l.one, l.world())
		l.add(l.two, same)
		l.add(l.one, same)
		gets(l.one, l.world())
		Expect(l.check(l.one, same)).To(Succeed())
		Expect(strings.Split(l.rules(), "\n")).To(ConsistOf(strings.Split(before, "\n")))
	})

	It("are kept from a bridge that is closed, after somebody has flushed FORWARD, by the next ADD for any", func() {
		l = newLab()
		within(l.Host, dropForwarded)
		const iptables, same = `,"backend":"iptables"`, `,"ingressPolicy":"same-bridge"`
		l.add(l.one, iptables+same)
		l.add(l.two, iptables)
		l.add(l.three, iptables+same)
		misses(l.three, l.one)
		within(l.Host, "iptables -F FORWARD; ip6tables -F FORWARD")
		l.Del(l.two.Container, withoutPrev(iptables))
		l.add(l.two, iptables)
		gets(l.three, l.world())
		misses(l.three, l.one)
		Expect(l.check(l.one, iptables+same)).To(Succeed())
	})

	DescribeTable("pass again after somebody has flushed everything, with a GC",
		func(backend, flush string) {
			l = newLab()
			const same, isolated = `,"ingressPolicy":"same-bridge"`, `,"ingressPolicy":"isolated"`
			l.add(l.two, backend+isolated)
			l.add(l.one, backend+same)
			l.add(l.three, backend+same)
			before := l.rules()
			within(l.Host, flush)
			gets(l.one, l.three)
			_, err := l.Call("STATUS", l.one.Container, withoutPrev(backend))
			Expect(err).NotTo(HaveOccurred(), "the next ADD works")
			_, err = l.Call("GC", l.one.Container, withoutPrev(backend+`,"cni.dev/valid-attachments":[`+
				`{"containerID":"one","ifname":"eth0"},{"containerID":"two","ifname":"eth0"},{"containerID":"three","ifname":"eth0"}]`))
			Expect(err).NotTo(HaveOccurred())
			for _, a := range []*attached{l.one, l.two, l.three} {
				Expect(l.check(a, backend+same)).To(Succeed())
			}
			misses(l.one, l.three)
			gets(l.one, l.two)
			Expect(strings.Split(l.rules(), "\n")).To(ConsistOf(strings.Split(before, "\n")))
			within(l.Host, flush)
			Expect(l.heal()).To(HaveLen(3))
			Expect(l.heal()).To(BeEmpty())
			misses(l.one, l.three)
			for _, a := range []*attached{l.one, l.two, l.three} {
				l.Del(a.Container, withoutPrev(backend))
			}
		},
		Entry("of iptables", `,"backend":"iptables"`, "for t in iptables ip6tables; do $t -F; $t -X; done"),
		Entry("of nftables", `,"backend":"nftables"`, "nft flush ruleset"),
	)

	DescribeTable("pass again after somebody has flushed everything, with the ADD of another container",
		func(backend, flush string) {
			l = newLab()
			const same = `,"ingressPolicy":"same-bridge"`
			l.add(l.one, backend+same)
			l.add(l.three, backend+same)
			before := l.rules()
			l.Del(l.three.Container, withoutPrev(backend))
			within(l.Host, flush)
			Expect(l.check(l.one, backend+same)).NotTo(Succeed())
			l.add(l.three, backend+same)
			Expect(l.check(l.one, backend+same)).To(Succeed())
			misses(l.one, l.three)
			Expect(strings.Split(l.rules(), "\n")).To(ConsistOf(strings.Split(before, "\n")))
			for _, a := range []*attached{l.one, l.three} {
				l.Del(a.Container, withoutPrev(backend))
			}
		},
		Entry("of iptables", `,"backend":"iptables"`, "for t in iptables ip6tables; do $t -F; $t -X; done"),
		Entry("of nftables", `,"backend":"nftables"`, "nft flush ruleset"),
	)

	DescribeTable("go as each of two entries of a list says, also after somebody has flushed everything",
		func(first, second string) {
			l = newLab()
			const flush = "for t in iptables ip6tables; do $t -F; $t -X; done; nft flush ruleset"
			entries, before := []string{first, second}, ""
			for range 2 { // the second time nothing changes
				for _, a := range []*attached{l.one, l.three} {
					for _, rest := range entries {
						l.add(a, rest)
					}
				}
				Expect(before).To(Or(BeEmpty(), Equal(l.rules())))
				before = l.rules()
			}
			whole := func() {
				GinkgoHelper()
				misses(l.one, l.three)
				for _, rest := range entries {
					Expect(l.check(l.one, rest)).To(Succeed())
				}
				Expect(strings.Split(l.rules(), "\n")).To(ConsistOf(strings.Split(before, "\n")))
			}
			whole()
			within(l.Host, flush)
			_, err := l.Call("GC", l.one.Container, withoutPrev(first+`,"cni.dev/valid-attachments":[`+
				`{"containerID":"one","ifname":"eth0"},{"containerID":"three","ifname":"eth0"}]`))
			Expect(err).NotTo(HaveOccurred())
			whole()
			within(l.Host, flush)
			Expect(l.heal()).To(HaveLen(2))
			Expect(l.heal()).To(BeEmpty())
			whole()
			for _, a := range []*attached{l.one, l.three} {
				l.Del(a.Container, withoutPrev(first))
			}
			Expect(l.rules()).NotTo(Or(ContainSubstring("/one/eth0"), ContainSubstring("-s "+l.one.v4), ContainSubstring("-s "+l.one.v6)))
			Expect(l.heal()).To(BeEmpty())
		},
		Entry("with two admin chains", `,"backend":"iptables","ingressPolicy":"same-bridge"`, `,"backend":"iptables","iptablesAdminChainName":"MINE"`),
		Entry("with nftables", `,"backend":"nftables","ingressPolicy":"same-bridge"`, `,"backend":"nftables"`),
		Entry("with either backend", `,"ingressPolicy":"same-bridge","backend":"nftables"`, `,"backend":"iptables"`),
	)

	It("go as an entry says whose backend was chosen for the host before another's wrote rules", func() {
		l = newLab()
		const chosen, iptables = `,"ingressPolicy":"same-bridge"`, `,"backend":"iptables"`
		l.add(l.one, chosen)
		l.add(l.one, iptables)
		Expect(l.check(l.one, chosen)).To(Succeed())
		within(l.Host, "nft delete table inet cni_isolation")
		Expect(l.check(l.one, chosen)).NotTo(Succeed())
		Expect(l.heal()).To(HaveLen(1))
		Expect(l.check(l.one, chosen)).To(Succeed())
		Expect(l.check(l.one, iptables)).To(Succeed())
		l.Del(l.one.Container, withoutPrev(iptables))
	})

	It("of many pass again after two programs a family", func() {
		l = newLab()
		within(l.Host, dropForwarded)
		const same, crowd = `,"backend":"iptables","ingressPolicy":"same-bridge"`, 10
		valid := `{"containerID":"one","ifname":"eth0"}`
		l.add(l.one, same)
		for i := range crowd {
			c := l.alias(l.two, fmt.Sprint("c", i), 100+i)
			l.add(c, same)
			valid += fmt.Sprintf(`,{"containerID":%q,"ifname":"eth0"}`, c.ID)
		}
		before := l.rules()
		during := testrig.RecordStarts("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
		once := []string{"iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"}
		const flush = "for t in iptables ip6tables; do $t -F; $t -X; done"
		within(l.Host, flush)
		misses(l.one, l.world())
		Expect(during(func() { Expect(l.heal()).To(HaveLen(crowd + 1)) })).To(Equal(once))
		Expect(during(func() { Expect(l.heal()).To(BeEmpty()) })).To(Equal([]string{"iptables-save", "ip6tables-save"}))
		gets(l.one, l.world())
		Expect(strings.Split(l.rules(), "\n")).To(ConsistOf(strings.Split(before, "\n")))
		within(l.Host, flush)
		Expect(during(func() {
			_, err := l.Call("GC", l.one.Container, withoutPrev(same+`,"cni.dev/valid-attachments":[`+valid+`]`))
			Expect(err).NotTo(HaveOccurred())
		})).To(Equal(once))
		gets(l.one, l.world())
		Expect(strings.Split(l.rules(), "\n")).To(ConsistOf(strings.Split(before, "\n")))
	})

	DescribeTable("go between bridges as their policies say",
		func(backend string) {
			l = newLab()
			with := func(policy string) string { return backend + `,"ingressPolicy":"` + policy + `"` }
			all := func(policy string) {
				GinkgoHelper()
				for _, a := range []*attached{l.one, l.two, l.three} {
					l.add(a, with(policy))
					Expect(l.check(a, with(policy))).To(Succeed())
				}
			}
			By("open")
			all("open")
			gets(l.one, l.two)
			gets(l.one, l.three)
			By("same-bridge")
			all("same-bridge")
			gets(l.one, l.two)
			misses(l.one, l.three)
			misses(l.three, l.two)
			gets(l.one, l.world())
			gets(host(l), l.one)
			By("isolated")
			all("isolated")
			misses(l.one, l.two)
			misses(l.one, l.three)
			gets(l.one, l.world())
			gets(host(l), l.one)
			By("isolated, and one bridge open again")
			l.add(l.three, with("open"))
			gets(l.one, l.three)
			misses(l.one, l.two)
			By("the same, after an ADD that does not care")
			l.add(l.two, backend)
			misses(l.one, l.two)
			By("the same, when containers have gone")
			l.Del(l.two.Container, withoutPrev(backend))
			misses(l.one, l.two)
			By("open again")
			all("open")
			gets(l.one, l.two)
			gets(l.one, l.three)
		},
		Entry("by iptables", `,"backend":"iptables"`),
		Entry("by nftables", `,"backend":"nftables"`),
		Entry("by the default backend", ``),
	)

	It("pass with an open policy where there is no bridge that could be closed", func() {
		l = newLab()
		config := `{"type":"firewall","backend":"iptables","ingressPolicy":"%s","prevResult":{"cniVersion":"1.1.0",
			"interfaces":[{"name":"eth0","sandbox":"` + l.one.Path + `"}],"ips":[{"address":"` + l.one.v4 + `/24","interface":0}]}}`
		for _, verb := range []string{"ADD", "CHECK", "DEL"} {
			_, err := l.Call(verb, l.one.Container, fmt.Sprintf(config, "open"))
			Expect(err).NotTo(HaveOccurred(), verb)
		}
		_, err := l.Call("ADD", l.one.Container, fmt.Sprintf(config, "same-bridge"))
		Expect(err).To(MatchError(ContainSubstring("run the bridge plugin before this one")))
	})

	It("are not switched between the ports of an isolated bridge, without br_netfilter", func() {
		testutils.Need(GinkgoT(), "nftables-meta-bridge")
		l = newLab()
		within(l.Host, "for f in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $f ] || echo 0 > $f; done")
		const isolated = `,"backend":"nftables","ingressPolicy":"isolated"`
		gets(l.one, l.two)
		l.add(l.one, isolated)
		Expect(l.check(l.one, isolated)).To(Succeed())
		misses(l.one, l.two)
		gets(l.one, l.world())
		gets(host(l), l.one)
		l.add(l.one, `,"backend":"nftables","ingressPolicy":"same-bridge"`)
		gets(l.one, l.two)
		_, err := l.Call("STATUS", l.one.Container, withoutPrev(`,"backend":"iptables","ingressPolicy":"isolated"`))
		Expect(err).To(MatchError(ContainSubstring("load the module br_netfilter")))
	})

	It("are dropped by iptables for all that nftables accepts, so that it is not the default there", func() {
		l = newLab()
		within(l.Host, dropForwarded)
		l.add(l.one, `,"backend":"nftables"`)
		misses(l.one, l.world())
		l.add(l.one, ``)
		gets(l.one, l.world())
		l.Del(l.one.Container, withoutPrev(``))
		misses(l.one, l.world())
		Expect(l.rules()).NotTo(ContainSubstring("test/one/eth0"))
	})

	DescribeTable("that nftables accepts may be dropped in another table, which is said",
		func(variant, backend, drop, accept, named string, usual bool) {
			testutils.Need(GinkgoT(), "iptables-"+variant, "ip6tables-"+variant)
			if strings.Contains(drop, "-legacy") {
				testutils.Need(GinkgoT(), "iptables-legacy", "ip6tables-legacy")
			}
			l = newLab()
			preferring(variant)
			Expect(testrig.SaidDuring(func() { l.add(l.one, backend) })).To(BeEmpty())
			gets(l.one, l.world())
			within(l.Host, drop)
			said := testrig.SaidDuring(func() { l.add(l.one, backend) })
			if usual {
				Expect(said).To(ContainSubstring("firewall: " + named + " drops everything, and what another table accepts, too: accept the traffic of containers there"))
			}
			misses(l.one, l.world())
			Expect(l.check(l.one, backend)).To(MatchError(ContainSubstring(named + " drops everything")))
			_, err := l.Call("STATUS", l.one.Container, withoutPrev(backend))
			Expect(err).To(MatchError(ContainSubstring(named + " drops everything")))
			Expect(testrig.Code(err)).To(BeEquivalentTo(50))

			within(l.Host, accept)
			gets(l.one, l.world())
			Expect(l.check(l.one, backend)).To(Succeed(), "the owner has thought of it")
			Expect(testrig.SaidDuring(func() {
				_, err = l.Call("STATUS", l.one.Container, withoutPrev(backend))
				Expect(err).NotTo(HaveOccurred())
			})).To(ContainSubstring(named + " drops what its rules do not accept"))
			l.Del(l.one.Container, withoutPrev(backend))
			gets(l.one, l.world())
		},
		Entry("that of iptables-nft", "nft", `,"backend":"nftables"`, dropForwarded, acceptForwarded, "chain FORWARD of table ip filter", true),
		Entry("that of ip6tables-nft", "nft", `,"backend":"nftables"`, dropForwarded, acceptForwarded, "chain FORWARD of table ip6 filter", true),
		Entry("that of iptables-legacy", "legacy", `,"backend":"nftables"`, dropForwarded, acceptForwarded, "chain FORWARD of table iptables-legacy filter", true),
		Entry("that of ip6tables-legacy", "legacy", `,"backend":"nftables"`, dropForwarded, acceptForwarded, "chain FORWARD of table ip6tables-legacy filter", true),
		Entry("that of the iptables that is not used", "nft", `,"backend":"iptables"`, strings.ReplaceAll(dropForwarded, "tables ", "tables-legacy "),
			strings.Replace(acceptForwarded, "iptables ip6tables", "iptables-legacy ip6tables-legacy", 1), "chain FORWARD of table iptables-legacy filter", true),
		Entry("by the policy of one of the owner's, with any backend", "nft", ``,
			"nft 'add table inet filter; add chain inet filter forward { type filter hook forward priority 0; policy drop; }'",
			"nft 'add rule inet filter forward iifname br0 accept; add rule inet filter forward oifname br0 accept'", "chain forward of table inet filter", true),
		Entry("by the last rule of one of the owner's", "nft", `,"backend":"iptables"`,
			"nft 'add table inet mine; add chain inet mine last { type filter hook forward priority 10; }; add rule inet mine last counter reject'",
			"nft 'insert rule inet mine last iifname br0 accept; insert rule inet mine last oifname br0 accept'", "chain last of table inet mine", false),
	)

	It("are of no family that a barrier is for, then it is not mentioned", func() {
		l = newLab()
		within(l.Host, "ip6tables -P FORWARD DROP")
		onlyV4 := strings.Replace(l.one.config(`,"backend":"nftables"`), `,{"address":"`+l.one.v6+`/64","interface":2}`, "", 1)
		Expect(testrig.SaidDuring(func() { l.Add(l.one.Container, onlyV4) })).To(BeEmpty())
		_, err := l.Call("CHECK", l.one.Container, onlyV4)
		Expect(err).NotTo(HaveOccurred())
		Expect(testrig.SaidDuring(func() {
			_, err = l.Call("STATUS", l.one.Container, withoutPrev(`,"backend":"nftables"`))
			Expect(err).NotTo(HaveOccurred(), "IPv4 passes")
		})).To(ContainSubstring("chain FORWARD of table ip6 filter drops everything"))
		l.Del(l.one.Container, withoutPrev(``))
	})

	Context("of a container whose backend was chosen", func() {
		collect := func() {
			GinkgoHelper()
			_, err := l.Call("GC", l.one.Container, withoutPrev(`,"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"}]`))
			Expect(err).NotTo(HaveOccurred())
		}
		BeforeEach(func() {
			l = newLab()
			l.add(l.one, ``)
		})
		AfterEach(func() {
			l.Del(l.one.Container, withoutPrev(``))
			Expect(l.rules()).NotTo(ContainSubstring("test/one/eth0"))
		})

		for _, variant := range []string{"nft", "legacy"} {
			It("do not mind another network's rules of iptables-"+variant, func() {
				testutils.Need(GinkgoT(), "iptables-"+variant, "ip6tables-"+variant)
				preferring(variant)
				l.add(l.two, `,"backend":"iptables"`)
				gets(l.one, l.world())
				Expect(l.check(l.one, ``)).To(Succeed())
				_, err := l.Call("GC", l.one.Container, withoutPrev(`,"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"},{"containerID":"two","ifname":"eth0"}]`))
				Expect(err).NotTo(HaveOccurred())
				Expect(l.check(l.one, ``)).To(Succeed())
				l.Del(l.two.Container, withoutPrev(``))
			})

			It("pass again after a GC when Docker has come with iptables-"+variant, func() {
				testutils.Need(GinkgoT(), "iptables-"+variant, "ip6tables-"+variant)
				preferring(variant)
				within(l.Host, others)
				misses(l.one, l.world())
				Expect(l.check(l.one, ``)).To(MatchError(ContainSubstring("chain CNI-FORWARD is missing")))
				collect()
				gets(l.one, l.world())
				Expect(l.check(l.one, ``)).To(Succeed())
			})
		}

		It("keep to the policy of a bridge that iptables is for", func() {
			const policy = `,"ingressPolicy":"same-bridge"`
			l.add(l.one, policy)
			l.add(l.three, `,"backend":"iptables"`+policy) // the first with iptables looks after the others
			Expect(l.check(l.one, policy)).To(Succeed())
			misses(l.one, l.three)
			before := l.rules()
			_, err := l.Call("GC", l.one.Container, withoutPrev(`,"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"},{"containerID":"three","ifname":"eth0"}]`))
			Expect(err).NotTo(HaveOccurred())
			Expect(l.rules()).To(Equal(before))
			l.Del(l.three.Container, withoutPrev(``))
		})

		It("do not, where the configuration has chosen it", func() {
			l.add(l.one, `,"backend":"nftables"`)
			within(l.Host, others)
			before := l.rules()
			collect()
			Expect(l.rules()).To(Equal(before))
		})
	})

	It("are left to nftables where iptables has nothing to say", func() {
		l = newLab()
		within(l.Host, "iptables -L >/dev/null; ip6tables -L >/dev/null") // makes empty chains
		l.add(l.one, ``)
		gets(l.one, l.world())
		Expect(l.rules()).NotTo(ContainSubstring("CNI-FORWARD"))
		Expect(l.rules()).To(ContainSubstring(`10.1.0.2 comment "test/one/eth0"`))
		Expect(l.check(l.one, ``)).To(Succeed())
	})
})

// host is the host as somebody who calls containers.
func host(l *lab) *attached {
	return &attached{Container: &testrig.Container{ID: "host", Netns: l.Host}}
}

// filterRules returns the rules of iptables without those that mention something.
func filterRules(l *lab, without string) []string {
	GinkgoHelper()
	var rules []string
	for _, line := range strings.Split(within(l.Host, "iptables -S; ip6tables -S"), "\n") {
		if !strings.Contains(line, without) {
			rules = append(rules, line)
		}
	}
	return rules
}
