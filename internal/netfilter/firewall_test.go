// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// emptyFilter is the table filter of a fresh host.
func emptyFilter() *draft {
	return &draft{table: savedTable{"INPUT": nil, forwardChain: nil, "OUTPUT": nil}}
}

// order returns the targets of a chain's rules.
func (d *draft) order(chain string) []string {
	var targets []string
	for _, rule := range d.table[chain] {
		targets = append(targets, after(rule, "-j"))
	}
	return targets
}

var _ = Describe("the plan for iptables", func() {
	var (
		first  = plugin.Owner{Network: "podman", ContainerID: "c1", IfName: "eth0"}
		second = plugin.Owner{Network: "podman", ContainerID: "c2", IfName: "eth0"}
		ten    = netip.MustParsePrefix("10.1.0.2/32")
		eleven = netip.MustParsePrefix("10.1.0.3/32")
		plain  = Passage{AdminChain: "CNI-ADMIN"}
	)
	// settled plans from what the table will be, which has to need nothing more.
	settled := func(d *draft, plan func(*draft)) {
		GinkgoHelper()
		again := &draft{table: d.table}
		plan(again)
		Expect(again.lines).To(BeEmpty())
	}

	It("has upstream's shape and a record", func() {
		d := emptyFilter()
		d.open(first, plain, []netip.Prefix{ten})
		Expect(d.lines).To(Equal([]string{
			`-N CNI-FORWARD`,
			`-N CNI-ADMIN`,
			`-I FORWARD 1 -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD`,
			`-I CNI-FORWARD 1 -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN`,
			`-N ` + passageRecord(first),
			`-A ` + passageRecord(first) + ` -s 10.1.0.2/32 -m comment --comment podman/c1/eth0`,
			`-A CNI-FORWARD -d 10.1.0.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
			`-A CNI-FORWARD -s 10.1.0.2/32 -j ACCEPT`,
		}))
		settled(d, func(d *draft) { d.open(first, plain, []netip.Prefix{ten}) })
	})

	It("removes exactly what an owner has", func() {
		d := emptyFilter()
		d.open(first, plain, []netip.Prefix{ten})
		d.open(second, plain, []netip.Prefix{eleven})
		d.close(passageRecord(first), nil)
		want := emptyFilter()
		want.open(second, plain, []netip.Prefix{eleven})
		Expect(d.table).To(Equal(want.table))
	})

	It("replaces what an owner had", func() {
		d := emptyFilter()
		d.open(first, plain, []netip.Prefix{ten})
		d.open(first, plain, []netip.Prefix{eleven})
		want := emptyFilter()
		want.open(first, plain, []netip.Prefix{eleven})
		Expect(d.table).To(Equal(want.table))
	})

	It("leaves an address to the owner that has it now", func() {
		d := emptyFilter()
		d.open(first, plain, []netip.Prefix{ten})
		d.open(second, plain, []netip.Prefix{ten})
		Expect(d.table.has(passageRecord(first))).To(BeFalse())
		d.close(passageRecord(first), []netip.Prefix{ten})
		want := emptyFilter()
		want.open(second, plain, []netip.Prefix{ten})
		Expect(d.table).To(Equal(want.table))
	})

	It("removes what upstream has left, by address", func() {
		d := emptyFilter()
		d.share(plain)
		d.pass([]netip.Prefix{ten, eleven})
		d.close(passageRecord(first), []netip.Prefix{ten})
		want := emptyFilter()
		want.share(plain)
		want.pass([]netip.Prefix{eleven})
		Expect(d.table).To(Equal(want.table))
	})

	It("has isolation ahead of acceptance, whatever was lost", func() {
		isolating := Passage{AdminChain: "CNI-ADMIN", Ingress: Ingress{Bridge: "br0", Policy: IngressIsolated}}
		d := emptyFilter()
		d.table[forwardChain] = []ruleWords{words("-j DOCKER-USER")}
		d.open(first, isolating, []netip.Prefix{ten})
		Expect(d.order(forwardChain)).To(Equal([]string{isolationFirst, cniForward, "DOCKER-USER"}))

		for _, lost := range [][]ruleWords{{forwardJump()}, {isolationJump()[0]}, {forwardJump(), isolationJump()[0]}} {
			for _, rule := range lost {
				d.delete(forwardChain, rule)
			}
			d.open(second, plain, []netip.Prefix{eleven})
			Expect(d.order(forwardChain)).To(Equal([]string{isolationFirst, cniForward, "DOCKER-USER"}))
		}
		settled(d, func(d *draft) { d.open(first, isolating, []netip.Prefix{ten}) })
	})

	It("makes a bridge's policy what was asked for last", func() {
		policies := IngressPolicies()
		for _, from := range policies {
			for _, to := range policies {
				d := emptyFilter()
				for _, policy := range []string{from, to} {
					d.share(Passage{AdminChain: "CNI-ADMIN", Ingress: Ingress{Bridge: "br0", Policy: policy}})
				}
				drops, steps := 0, 0
				for _, rule := range d.table[isolationFirst] {
					switch after(rule, "-j") {
					case "DROP":
						drops++
					case isolationLast:
						steps++
					}
				}
				Expect(drops == 1).To(Equal(to == IngressIsolated), "%s to %s", from, to)
				Expect(steps == 1).To(Equal(to != IngressOpen), "%s to %s", from, to)
				Expect(d.table.index(isolationLast, arrival("br0")[0]) >= 0).To(Equal(to != IngressOpen), "%s to %s", from, to)
				Expect(drops + steps).To(BeNumerically("<=", 2))
			}
		}
	})

	It("takes the rules of version 1.1.1 for its own", func() {
		const comment = `-m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge)"`
		old := func() *draft {
			return &draft{table: parseTable(`:FORWARD ACCEPT [0:0]
-A FORWARD ` + comment + ` -j CNI-ISOLATION-STAGE-1
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
:CNI-ADMIN - [0:0]
-A CNI-ISOLATION-STAGE-1 -i br0 ! -o br0 ` + comment + ` -j CNI-ISOLATION-STAGE-2
-A CNI-ISOLATION-STAGE-1 ` + comment + ` -j RETURN
-A CNI-ISOLATION-STAGE-2 -o br0 ` + comment + ` -j DROP
-A CNI-ISOLATION-STAGE-2 ` + comment + ` -j RETURN
`)}
		}
		set := func(policy string) *draft {
			d := old()
			d.share(Passage{AdminChain: "CNI-ADMIN", Ingress: Ingress{Bridge: "br0", Policy: policy}})
			return d
		}
		Expect(set(IngressSameBridge).lines).To(BeEmpty())
		Expect(set(IngressOpen).order(isolationFirst)).To(Equal([]string{"RETURN"}))
		Expect(set(IngressOpen).order(isolationLast)).To(Equal([]string{"RETURN"}))
		isolated := set(IngressIsolated)
		Expect(isolated.order(forwardChain)).To(Equal([]string{isolationFirst, cniForward}))
		Expect(isolated.order(isolationFirst)).To(ConsistOf("DROP", isolationLast, "RETURN"))
		Expect(isolated.order(isolationLast)).To(Equal([]string{"DROP", "RETURN"}))
	})

	It("knows the records of a network, and which are stale", func() {
		valid := plugin.NewAttachments("podman", []types.GCAttachment{{ContainerID: "c1", IfName: "eth0"}})
		Expect(staleRecord(passageRecord(first), valid)).To(BeFalse())
		Expect(staleRecord(passageRecord(second), valid)).To(BeTrue())
		other := second
		other.Network = "podman2"
		Expect(staleRecord(passageRecord(other), valid)).To(BeFalse())
		Expect(staleRecord("CNI-FORWARD", valid)).To(BeFalse())
	})

	It("says in CHECK what is wrong rather than what to do", func() {
		Expect(difference("-N CNI-FORWARD")).To(Equal("chain CNI-FORWARD is missing"))
		Expect(difference("-I FORWARD 1 -j CNI-FORWARD")).To(Equal("chain FORWARD lacks the rule -j CNI-FORWARD"))
		Expect(difference("-A CNI-FORWARD -s 10.1.0.2/32 -j ACCEPT")).To(Equal("chain CNI-FORWARD lacks the rule -s 10.1.0.2/32 -j ACCEPT"))
		Expect(difference("-D FORWARD -j X")).To(Equal("chain FORWARD has, or has in the wrong place, the rule -j X"))
	})
})
