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
)

var _ = Describe("RemoveAddresses", func() {
	It("removes all of both families, and does not mind those that are gone", func() {
		testutils.Need(GinkgoT(), "root", "veth", "ipv6")
		netns, err := testutils.NewNS()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() {
			Expect(netns.Close()).To(Succeed())
			Expect(testutils.UnmountNS(netns)).To(Succeed())
		})
		Expect(netns.Do(func(ns.NetNS) error {
			defer GinkgoRecover()
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "left"
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "right"})).To(Succeed())
			left, err := link.Find("left")
			Expect(err).NotTo(HaveOccurred())
			var all []*net.IPNet
			for _, text := range []string{"10.0.0.1/8", "10.0.0.2/8", "192.0.2.1/32", "2001:db8::1/64", "2001:db8::2/128"} {
				ip, network, err := net.ParseCIDR(text)
				Expect(err).NotTo(HaveOccurred())
				address := &net.IPNet{IP: ip, Mask: network.Mask}
				Expect(link.AddAddress(left, address, true)).To(Succeed())
				all = append(all, address)
			}
			for range 2 {
				Expect(link.RemoveAddresses(left, all)).To(Succeed())
				addresses, err := netlink.AddrList(left, netlink.FAMILY_ALL)
				Expect(err).NotTo(HaveOccurred())
				Expect(addresses).To(BeEmpty())
			}
			Expect(link.Delete("left")).To(Succeed())
			Expect(link.RemoveAddresses(left, all)).To(Succeed())
			return nil
		})).To(Succeed())
	})
})
