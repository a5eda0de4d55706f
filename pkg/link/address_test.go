// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link_test

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

var _ = Describe("taking addresses off a link", func() {
	var netns ns.NetNS
	var left netlink.Link
	var all []netlink.Addr
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "veth", "ipv6")
		netns = testutils.TempNS(GinkgoT())
		all = nil
		testutils.Inside(netns, func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "left"
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "right"})).To(Succeed())
			var err error
			left, err = link.Find("left")
			Expect(err).NotTo(HaveOccurred())
			for _, text := range []string{"10.0.0.1/8", "10.0.0.2/8", "192.0.2.1/32", "2001:db8::1/64", "2001:db8::2/128"} {
				ip, network, err := net.ParseCIDR(text)
				Expect(err).NotTo(HaveOccurred())
				address := &net.IPNet{IP: ip, Mask: network.Mask}
				Expect(link.AddAddress(left, address, true)).To(Succeed())
				all = append(all, netlink.Addr{IPNet: address})
			}
		})
	})
	remaining := func() (texts []string) {
		GinkgoHelper()
		addresses, err := netlink.AddrList(left, netlink.FAMILY_ALL)
		Expect(err).NotTo(HaveOccurred())
		for _, address := range addresses {
			texts = append(texts, address.IPNet.String())
		}
		return texts
	}

	It("takes all of both families, and does not mind those that are gone", func() {
		testutils.Inside(netns, func() {
			for range 2 {
				Expect(link.RemoveAddresses(left, all)).To(Succeed())
				Expect(remaining()).To(BeEmpty())
			}
			Expect(link.Delete("left")).To(Succeed())
			Expect(link.RemoveAddresses(left, all)).To(Succeed())
		})
	})

	It("takes the one with the prefix length, and the one with the peer", func() {
		testutils.Inside(netns, func() {
			for _, text := range []string{"10.0.0.1/16", "10.0.0.1/32", "10.0.0.1/24"} {
				another, err := netlink.ParseAddr(text)
				Expect(err).NotTo(HaveOccurred())
				Expect(link.AddAddress(left, another.IPNet, true)).To(Succeed())
				all = append(all, *another)
			}
			for _, pair := range [][2]string{{"10.0.0.1/32", "10.0.0.9/32"}, {"2001:db8::5/128", "2001:db8:9::/64"}} {
				local, err := netlink.ParseAddr(pair[0])
				Expect(err).NotTo(HaveOccurred())
				_, local.Peer, err = net.ParseCIDR(pair[1])
				Expect(err).NotTo(HaveOccurred())
				Expect(netlink.AddrAdd(left, local)).To(Succeed())
				all = append(all, *local)
			}
			Expect(remaining()).To(HaveLen(10))
			for i := len(all) - 1; i >= 0; i-- {
				Expect(link.RemoveAddressAlone(left, all[i])).To(Succeed())
				var others []string
				for _, address := range all[:i] {
					others = append(others, address.IPNet.String())
				}
				Expect(remaining()).To(ConsistOf(others))
			}
		})
	})

	DescribeTable("says what IPv6 is missing when it cannot add one",
		func(prepare func() error, want string) {
			testutils.Inside(netns, func() {
				Expect(prepare()).To(Succeed())
				address := &net.IPNet{IP: net.ParseIP("2001:db8::9"), Mask: net.CIDRMask(64, 128)}
				Expect(link.AddAddress(left, address, true)).To(MatchError("add the address 2001:db8::9/64 to left: " + want))
			})
		},
		Entry("where it is switched off", func() error { return sysctl.Set("net/ipv6/conf/left/disable_ipv6", "1") },
			"permission denied; IPv6 is switched off there, set net/ipv6/conf/left/disable_ipv6 to 0"),
		Entry("where all new links have none", func() error { return sysctl.Set("net/ipv6/conf/all/disable_ipv6", "1") },
			"permission denied; IPv6 is switched off there, set net/ipv6/conf/default/disable_ipv6, for new links, or net/ipv6/conf/all/disable_ipv6 to 0"),
		Entry("where the MTU is too small", func() error { return netlink.LinkSetMTU(left, 1279) },
			"invalid argument; IPv6 needs an MTU of 1280, and left has 1279"),
		Entry("but not where it is there", func() error {
			return link.AddAddress(left, &net.IPNet{IP: net.ParseIP("2001:db8::9"), Mask: net.CIDRMask(64, 128)}, true)
		}, "file exists"),
	)

	DescribeTable("takes one and leaves those of its subnet",
		func(allowed string) {
			const key = "net/ipv4/conf/left/promote_secondaries"
			testutils.Inside(netns, func() {
				Expect(sysctl.Set(key, allowed)).To(Succeed())
				Expect(link.RemoveAddressAlone(left, all[0])).To(Succeed())
				Expect(remaining()).To(ConsistOf("10.0.0.2/8", "192.0.2.1/32", "2001:db8::1/64", "2001:db8::2/128"))
				Expect(link.RemoveAddressAlone(left, all[3])).To(Succeed())
				Expect(link.RemoveAddressAlone(left, all[0])).To(Succeed(), "it is gone")
				Expect(remaining()).To(ConsistOf("10.0.0.2/8", "192.0.2.1/32", "2001:db8::2/128"))
				Expect(sysctl.Sysctl(key)).To(Equal(allowed))
			})
		},
		Entry("where they would go along", "0"),
		Entry("where they would stay", "1"),
	)
})
