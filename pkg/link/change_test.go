// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link_test

import (
	"bytes"
	"net"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

var _ = Describe("Apply", func() {
	var left netlink.Link

	here := func(fn func()) {
		GinkgoHelper()
		testutils.Need(GinkgoT(), "ipv6")
		testutils.OnVethPair(GinkgoT(), func() {
			var err error
			left, err = link.Find("left")
			Expect(err).NotTo(HaveOccurred())
			fn()
		})
	}

	address := func(text string) *net.IPNet {
		GinkgoHelper()
		ip, network, err := net.ParseCIDR(text)
		Expect(err).NotTo(HaveOccurred())
		return &net.IPNet{IP: ip, Mask: network.Mask}
	}

	It("makes changes in their order", func() {
		here(func() {
			right, err := link.Find("right")
			Expect(err).NotTo(HaveOccurred())
			gateway := netlink.Route{LinkIndex: left.Attrs().Index, Dst: address("10.2.0.0/16"), Gw: net.IPv4(10, 1, 0, 1), Table: unix.RT_TABLE_MAIN}
			Expect(link.Apply(
				link.Announce(left),
				link.Address(left, address("10.1.0.2/24"), true),
				link.Address(left, address("2001:db8::2/64"), true),
				link.SetUp(left),
				link.SetUp(right),
				link.Route(gateway, "10.2.0.0/16"), // which the gateway's own network has to precede
			)).To(Succeed())
			Expect(sysctl.Sysctl("net/ipv4/conf/left/arp_notify")).To(Equal("1"))
			addresses, err := link.Addresses(left, netlink.FAMILY_ALL)
			Expect(err).NotTo(HaveOccurred())
			var global []string
			for _, addr := range addresses {
				if addr.IP.IsGlobalUnicast() {
					Expect(addr.Flags & unix.IFA_F_TENTATIVE).To(BeZero())
					global = append(global, addr.IPNet.String())
				}
			}
			Expect(global).To(ConsistOf("10.1.0.2/24", "2001:db8::2/64"))
			routes, err := netlink.RouteGet(net.IPv4(10, 2, 3, 4))
			Expect(err).NotTo(HaveOccurred())
			Expect(routes[0].Gw.String()).To(Equal("10.1.0.1"))
		})
	})

	It("replaces and removes routes, and sets down", func() {
		here(func() {
			right, err := link.Find("right")
			Expect(err).NotTo(HaveOccurred())
			Expect(link.Apply(link.SetUp(left), link.SetUp(right), link.Address(left, address("10.1.0.2/24"), true), link.Address(left, address("10.1.0.3/24"), true))).To(Succeed())
			through := func(l netlink.Link) netlink.Route {
				return netlink.Route{LinkIndex: l.Attrs().Index, Dst: address("10.2.0.0/16"), Scope: netlink.SCOPE_LINK, Src: net.IPv4(10, 1, 0, 3)}
			}
			Expect(link.Apply(link.Route(through(left), "it"))).To(Succeed())
			Expect(link.Apply(link.Route(through(left), "it"))).To(MatchError(unix.EEXIST))
			Expect(link.Apply(link.ReplaceRoute(through(right), "it"))).To(Succeed())
			routes, err := netlink.RouteGet(net.IPv4(10, 2, 3, 4))
			Expect(err).NotTo(HaveOccurred())
			Expect(routes).To(ConsistOf(And(HaveField("LinkIndex", right.Attrs().Index), HaveField("Src", net.IP{10, 1, 0, 3}))))

			other := netlink.Route{LinkIndex: left.Attrs().Index, Dst: address("10.2.0.0/16"), Scope: netlink.SCOPE_NOWHERE}
			Expect(link.RemoveRoute(other)).To(Succeed(), "which is not there")
			Expect(netlink.RouteGet(net.IPv4(10, 2, 3, 4))).To(HaveLen(1))
			other.LinkIndex, other.Protocol = right.Attrs().Index, unix.RTPROT_KERNEL
			Expect(link.RemoveRoute(other)).To(Succeed(), "which is not the kernel's")
			Expect(netlink.RouteGet(net.IPv4(10, 2, 3, 4))).To(HaveLen(1))
			other.Protocol = unix.RTPROT_UNSPEC
			Expect(link.RemoveRoute(other)).To(Succeed())
			_, err = netlink.RouteGet(net.IPv4(10, 2, 3, 4))
			Expect(err).To(MatchError(unix.ENETUNREACH))

			Expect(link.Apply(link.SetDown(left))).To(Succeed())
			down, err := link.Find("left")
			Expect(err).NotTo(HaveOccurred())
			Expect(down.Attrs().Flags & net.FlagUp).To(BeZero())
		})
	})

	It("gives the error of the first change that had to succeed, and makes the others", func() {
		here(func() {
			nowhere := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "nowhere", Index: 4711}}
			err := link.Apply(
				link.Announce(nowhere),
				link.Address(nowhere, address("10.1.0.2/24"), true),
				link.Address(nowhere, address("10.1.0.3/24"), true),
				link.SetUp(left),
			)
			Expect(err).To(And(MatchError(unix.ENODEV), MatchError(ContainSubstring("add the address 10.1.0.2/24 to nowhere: "))))
			up, err := link.Find("left")
			Expect(err).NotTo(HaveOccurred())
			Expect(up.Attrs().Flags & net.FlagUp).NotTo(BeZero())
			Expect(link.Apply()).To(Succeed())
		})
	})

	It("has the addresses of an interface that is up announced", func() {
		here(func() {
			right, err := link.Find("right")
			Expect(err).NotTo(HaveOccurred())
			Expect(sysctl.Write("net/ipv6/conf/left/accept_dad", "0")).To(Succeed())
			Expect(link.Apply(
				link.Address(left, address("10.1.0.2/24"), true),
				link.Address(left, address("2001:db8::2/64"), true),
				link.SetUp(left),
				link.SetUp(right),
			)).To(Succeed())
			// What the kernel announces as the link comes up is over then.
			Eventually(func() ([]netlink.Addr, error) { return link.Addresses(left, netlink.FAMILY_V6) }).Should(And(HaveLen(2),
				HaveEach(WithTransform(isTentative, BeFalse()))))
			Expect(link.Apply(link.Announce(left))).To(Succeed())
			Expect(sysctl.Write("net/ipv6/conf/left/ndisc_notify", "1")).To(Succeed())
			netns, err := ns.GetCurrentNS()
			Expect(err).NotTo(HaveOccurred())
			defer netns.Close()
			packets, err := testutils.Capture(netns, "right")
			Expect(err).NotTo(HaveOccurred())
			defer packets.Close()
			Expect(link.Apply(link.AnnounceNow(left))).To(Succeed())
			// A request for the own address (RFC 5227), an advertisement of it (RFC 4861, 7.2.6).
			requests := append(slices.Clone(left.Attrs().HardwareAddr), 10, 1, 0, 2, 0, 0, 0, 0, 0, 0, 10, 1, 0, 2)
			_, err = packets.Wait(time.Second, func(f testutils.Frame) bool {
				return !f.Outgoing && f.EtherType() == unix.ETH_P_ARP && bytes.Contains(f.Payload(), requests)
			})
			Expect(err).NotTo(HaveOccurred())
			_, err = packets.Wait(time.Second, func(f testutils.Frame) bool {
				return !f.Outgoing && f.EtherType() == unix.ETH_P_IPV6 && f.Payload()[40] == 136 && bytes.Contains(f.Payload()[44:], net.ParseIP("2001:db8::2"))
			})
			Expect(err).NotTo(HaveOccurred())
			same, err := link.Find("left")
			Expect(err).NotTo(HaveOccurred())
			Expect(same.Attrs().HardwareAddr).To(Equal(left.Attrs().HardwareAddr))
		})
	})

	DescribeTable("gives an IPv4 address the broadcast address of its network",
		func(text, want string) {
			here(func() {
				Expect(link.Apply(link.Address(left, address(text), true))).To(Succeed())
				addresses, err := link.Addresses(left, netlink.FAMILY_V4)
				Expect(err).NotTo(HaveOccurred())
				Expect(addresses).To(HaveLen(1))
				if want == "" {
					Expect(addresses[0].Broadcast).To(BeNil())
					return
				}
				Expect(addresses[0].Broadcast.String()).To(Equal(want))
			})
		},
		Entry("of many", "10.1.2.3/22", "10.1.3.255"),
		Entry("of two", "10.1.2.5/30", "10.1.2.7"),
		Entry("but for a link of two (RFC 3021)", "10.1.2.4/31", ""),
		Entry("or of one", "10.1.2.4/32", ""),
	)
})

func isTentative(address netlink.Addr) bool { return address.Flags&unix.IFA_F_TENTATIVE != 0 }
