// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("a chain of others that drops", func() {
	type finding func(context.Context, []netip.Addr) ([]netfilter.Barrier, error)

	barriers := func(find finding, chain string) (found []netfilter.Barrier) {
		GinkgoHelper()
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			run("nft -f - <<'END'\n" + chain + "\nEND")
			var err error
			found, err = find(GinkgoT().Context(), []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()})
			Expect(err).NotTo(HaveOccurred())
		})
		return found
	}

	DescribeTable("lets nothing past unless a rule of it may accept something",
		func(rules string, closed bool) {
			chain := "table inet filter {\nchain x {\n}\nchain forward {\ntype filter hook forward priority 0; policy drop\n" + rules + "\n}\n}"
			want := []netfilter.Barrier{{Table: "inet filter", Chain: "forward", Closed: closed}}
			Expect(barriers(netfilter.AllBarriers, chain)).To(Equal(want))
			Expect(barriers(netfilter.UsualBarriers, chain)).To(Equal(want))
		},
		Entry("without rules", "", true),
		Entry("with one that drops", `iifname "cni0" counter drop`, true),
		Entry("with one that rejects", `iifname "cni0" reject`, true),
		Entry("with one that accepts", `iifname "cni0" accept`, false),
		Entry("with one that jumps", `iifname "cni0" jump x`, false),
		Entry("with a map of verdicts", `iifname vmap { "cni0" : accept }`, false),
		Entry("with a map of verdicts, and drops the rest", `ct state vmap { established : accept, related : accept, new : jump x } drop`, false),
		Entry("with a map of verdicts, and counts and drops the rest", `iifname vmap { "cni0" : accept } counter drop`, false),
		Entry("with a map of verdicts, and rejects the rest", `iifname vmap { "cni0" : accept } reject`, false),
		Entry("with a set, and drops what is in it", `iifname { "cni0", "cni1" } drop`, true),
		Entry("with a map of something else, and drops", `meta mark set iifname map { "cni0" : 0x1 } drop`, true),
	)

	DescribeTable("is in nobody's way while its table is dormant",
		func(find finding) {
			const chain = " {\ntype filter hook forward priority 0; policy drop\n}\n}\n"
			const dormant = "flags dormant\n"
			Expect(barriers(find, "table inet filter {\n"+dormant+"chain forward"+chain)).To(BeEmpty())
			Expect(barriers(find, "table ip filter {\n"+dormant+"chain FORWARD"+chain+"table ip6 filter {\nchain FORWARD"+chain)).To(
				Equal([]netfilter.Barrier{{Table: "ip6 filter", Chain: "FORWARD", Closed: true}}))
		},
		Entry("of all", netfilter.AllBarriers),
		Entry("of the usual ones", netfilter.UsualBarriers),
	)
})
