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

var _ = Describe("FindWithIPv6", func() {
	DescribeTable("returns the link with its parameters",
		func(value string, expected int) {
			testutils.Need(GinkgoT(), "root", "ipv6")
			inside(newNamespace(), func() {
				Expect(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}})).To(Succeed())
				Expect(sysctl.Set("net/ipv6/conf/br0/accept_ra", value)).To(Succeed())
				found, ipv6, err := link.FindWithIPv6("br0")
				Expect(err).NotTo(HaveOccurred())
				Expect(found).To(Equal(mustFind("br0")))
				Expect(ipv6.AcceptRA()).To(Equal(expected))
			})
		},
		Entry("which takes no advertisements", "0", 0),
		Entry("which takes them unless it forwards", "1", 1),
		Entry("which takes all", "2", 2),
		Entry("with a value that means nothing", "-1", -1),
	)

	It("finds no link that does not exist", func() {
		testutils.Need(GinkgoT(), "root")
		inside(newNamespace(), func() {
			_, _, err := link.FindWithIPv6("br0")
			Expect(err).To(MatchError(link.ErrNotFound))
		})
	})

	It("tells of a link without IPv6 that it takes no advertisements", func() {
		Expect(link.IPv6(nil).AcceptRA()).To(BeZero())
	})
})
