// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

var _ = Describe("FindWithDetails", func() {
	DescribeTable("returns the link with its parameters",
		func(value string, expected int) {
			testutils.Need(GinkgoT(), "root", "ipv6")
			testutils.Inside(testutils.TempNS(GinkgoT()), func() {
				Expect(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}})).To(Succeed())
				Expect(sysctl.Set("net/ipv6/conf/br0/accept_ra", value)).To(Succeed())
				found, details, err := link.FindWithDetails("br0")
				Expect(err).NotTo(HaveOccurred())
				Expect(found).To(Equal(mustFind("br0")))
				Expect(details.AcceptRA()).To(Equal(expected))
			})
		},
		Entry("which takes no advertisements", "0", 0),
		Entry("which takes them unless it forwards", "1", 1),
		Entry("which takes all", "2", 2),
		Entry("with a value that means nothing", "-1", -1),
	)

	It("finds no link that does not exist", func() {
		testutils.Need(GinkgoT(), "root")
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			_, _, err := link.FindWithDetails("br0")
			Expect(err).To(MatchError(link.ErrNotFound))
		})
	})

	It("tells whether a bridge learns from link-local frames, which can be stopped", func() {
		testutils.Need(GinkgoT(), "root")
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			Expect(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}})).To(Succeed())
			found, details, err := link.FindWithDetails("br0")
			Expect(err).NotTo(HaveOccurred())
			Expect(details.LearnsLinkLocal()).To(BeTrue())
			Expect(link.StopLinkLocalLearning(found.Attrs().Index)).To(Succeed())
			_, details, err = link.FindWithDetails("br0")
			Expect(err).NotTo(HaveOccurred())
			Expect(details.LearnsLinkLocal()).To(BeFalse())
		})
	})

	It("tells of a link that is no bridge, or whose kernel does not say so, that it does not", func() {
		Expect(link.Details(nil).LearnsLinkLocal()).To(BeFalse())
	})

	It("tells of a link without IPv6 that it takes no advertisements", func() {
		Expect(link.Details(nil).AcceptRA()).To(BeZero())
	})
})
