// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"os"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("The gate that is chosen for a host", func() {
	selected := func(ctx context.Context) (netfilter.Gate, error) { return netfilter.SelectGate(ctx, "") }
	kept := func(ctx context.Context) (netfilter.Gate, error) { return netfilter.KeepGate(ctx, netfilter.NFTables) }

	// forwardWith makes the chain FORWARD of iptables with a policy, and with a rule that
	// is none of iptables' and cannot be parsed: its limit is one in seven seconds.
	forwardWith := func(policy nftables.ChainPolicy) {
		GinkgoHelper()
		c := &nftables.Conn{}
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"})
		chain := c.AddChain(&nftables.Chain{
			Table: table, Name: "FORWARD", Type: nftables.ChainTypeFilter, Policy: &policy,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
		})
		limit := &expr.Limit{Type: expr.LimitTypePkts, Rate: 1, Unit: 7}
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{limit, &expr.Verdict{Kind: expr.VerdictDrop}}})
		Expect(c.Flush()).To(Succeed())
		_, err := c.GetRules(table, chain)
		Expect(err).To(HaveOccurred())
	}
	choose := func(choice func(context.Context) (netfilter.Gate, error)) string {
		GinkgoHelper()
		gate, err := choice(GinkgoT().Context())
		Expect(err).NotTo(HaveOccurred())
		return gate.Name()
	}

	BeforeEach(func() { testutils.Need(GinkgoT(), "root", "nftables") })

	It("is iptables where that drops what no rule accepts, whatever the rules are", inNewNS(func() {
		forwardWith(nftables.ChainPolicyDrop)
		Expect(choose(selected)).To(Equal(netfilter.IPTables))
		Expect(choose(kept)).To(Equal(netfilter.IPTables))
		Expect(choose(netfilter.GateBeside)).To(Equal(netfilter.IPTables))
	}))

	It("is iptables where that has a rule, whatever the rule is, unless only the last one matters", inNewNS(func() {
		forwardWith(nftables.ChainPolicyAccept)
		Expect(choose(selected)).To(Equal(netfilter.IPTables))
		_, err := kept(GinkgoT().Context())
		Expect(err).To(MatchError(ContainSubstring("chain FORWARD of table ip filter")))
		Expect(choose(netfilter.GateBeside)).To(Equal(netfilter.NFTables))
	}))

	DescribeTable("is none where nobody can tell what iptables does",
		func(choice func(context.Context) (netfilter.Gate, error)) {
			late, cancel := context.WithDeadline(GinkgoT().Context(), time.Now().Add(-time.Second))
			defer cancel()
			testutils.Inside(testutils.TempNS(GinkgoT()), func() {
				_, err := choice(late)
				Expect(err).To(MatchError(os.ErrDeadlineExceeded))
			})
		},
		Entry("for the first time", selected),
		Entry("for good", kept),
		Entry("beside a firewall manager", netfilter.GateBeside),
	)
})
