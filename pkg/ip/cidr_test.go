// SPDX-License-Identifier: Apache-2.0

package ip_test

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ip"
)

var _ = Describe("arithmetic", func() {
	v4 := func(text string) net.IP { return net.ParseIP(text).To4() }
	v6 := net.ParseIP

	DescribeTable("NextIP and PrevIP",
		func(before, after net.IP) {
			Expect(ip.NextIP(before)).To(Equal(after))
			Expect(ip.PrevIP(after)).To(Equal(before))
		},
		Entry("in the last byte", v4("192.168.0.1"), v4("192.168.0.2")),
		Entry("with a carry", v4("192.168.0.255"), v4("192.168.1.0")),
		Entry("with three carries", v4("10.255.255.255"), v4("11.0.0.0")),
		Entry("with a leading zero", v4("0.0.1.255"), v4("0.0.2.0")),
		Entry("from the first", v4("0.0.0.0"), v4("0.0.0.1")),
		Entry("to the last", v4("255.255.255.254"), v4("255.255.255.255")),
		Entry("IPv6", v6("2001:db8::1"), v6("2001:db8::2")),
		Entry("IPv6 with a carry", v6("2001:db8::ffff:ffff:ffff"), v6("2001:db8:0:0:1::")),
		Entry("IPv6 from the first", v6("::"), v6("::1")),
		Entry("IPv6 whose number fits into four bytes", v6("::1:ffff"), v6("::2:0")),
		Entry("IPv6 past what fits into four bytes", v6("::ffff:ffff"), v6("::1:0:0")),
		Entry("IPv6 to the last", v6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), v6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
	)

	It("returns IPv4 addresses in four bytes", func() {
		Expect(ip.NextIP(net.ParseIP("10.0.0.1"))).To(Equal(net.IP{10, 0, 0, 2}))
		Expect(ip.PrevIP(net.ParseIP("10.0.0.1"))).To(Equal(net.IP{10, 0, 0, 0}))
	})

	It("leaves its argument alone", func() {
		addr := v4("10.0.0.255")
		ip.NextIP(addr)
		ip.PrevIP(addr)
		Expect(addr).To(Equal(v4("10.0.0.255")))
	})

	DescribeTable("what has no neighbour",
		func(step func(net.IP) net.IP, of net.IP) { Expect(step(of)).To(BeNil()) },
		Entry("after nothing", ip.NextIP, nil),
		Entry("before nothing", ip.PrevIP, nil),
		Entry("after a wrong length", ip.NextIP, net.IP{1, 2, 3}),
		Entry("before a wrong length", ip.PrevIP, net.IP{1, 2, 3, 4, 5}),
		Entry("after the last IPv4", ip.NextIP, v4("255.255.255.255")),
		Entry("before the first IPv4", ip.PrevIP, v4("0.0.0.0")),
		Entry("after the last IPv6", ip.NextIP, v6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
		Entry("before the first IPv6", ip.PrevIP, v6("::")),
	)

	DescribeTable("Cmp",
		func(a, b net.IP, want int) {
			Expect(ip.Cmp(a, b)).To(Equal(want))
			if want != -2 {
				want = -want
			}
			Expect(ip.Cmp(b, a)).To(Equal(want))
		},
		Entry("equal", v4("192.168.0.1"), v4("192.168.0.1"), 0),
		Entry("equal in different lengths", net.ParseIP("192.168.0.1"), v4("192.168.0.1"), 0),
		Entry("less in the last byte", v4("192.168.0.1"), v4("192.168.0.2"), -1),
		Entry("less in the first byte", v4("9.255.255.255"), v4("10.0.0.0"), -1),
		Entry("greater", v4("192.168.1.0"), v4("192.168.0.255"), 1),
		Entry("IPv6", v6("2001:db8::1"), v6("2001:db8::1:0"), -1),
		Entry("different families", v4("0.0.0.1"), v6("::1"), -2),
		Entry("nothing and an address", nil, v4("10.0.0.1"), -2),
		Entry("nothing and nothing", nil, nil, -2),
		Entry("a wrong length", net.IP{1, 2, 3}, v4("1.2.3.4"), -2),
	)

	DescribeTable("Network",
		func(of *net.IPNet, want string) { Expect(ip.Network(of).String()).To(Equal(want)) },
		Entry("IPv4", &net.IPNet{IP: v4("192.168.5.7"), Mask: net.CIDRMask(24, 32)}, "192.168.5.0/24"),
		Entry("IPv4 in sixteen bytes", &net.IPNet{IP: net.ParseIP("192.168.5.7"), Mask: net.CIDRMask(20, 32)}, "192.168.0.0/20"),
		Entry("all of IPv4", &net.IPNet{IP: v4("192.168.5.7"), Mask: net.CIDRMask(0, 32)}, "0.0.0.0/0"),
		Entry("IPv6", &net.IPNet{IP: v6("2001:db8::1:2"), Mask: net.CIDRMask(112, 128)}, "2001:db8::1:0/112"),
		Entry("a single address", &net.IPNet{IP: v6("2001:db8::1"), Mask: net.CIDRMask(128, 128)}, "2001:db8::1/128"),
	)

	It("returns a network of its own", func() {
		of := &net.IPNet{IP: v4("10.1.2.3"), Mask: net.CIDRMask(24, 32)}
		network := ip.Network(of)
		network.IP[0], network.Mask[3] = 11, 0xff
		Expect(of.String()).To(Equal("10.1.2.3/24"))
	})

	DescribeTable("Network of what is none",
		func(of *net.IPNet) {
			Expect(ip.Network(of)).To(BeNil())
		},
		Entry("nothing", nil),
		Entry("the zero value", &net.IPNet{}),
		Entry("no mask", &net.IPNet{IP: v4("10.0.0.1")}),
		Entry("a mask of the other family", &net.IPNet{IP: v6("2001:db8::1"), Mask: net.CIDRMask(24, 32)}),
	)
})
