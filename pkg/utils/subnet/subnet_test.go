// SPDX-License-Identifier: Apache-2.0

package subnet_test

import (
	"net"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

func TestSubnet(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/utils/subnet")
}

var _ = Describe("subnet", func() {
	parse := func(cidr string) *net.IPNet {
		address, network, err := net.ParseCIDR(cidr)
		Expect(err).NotTo(HaveOccurred())
		return &net.IPNet{IP: address, Mask: network.Mask}
	}

	It("is without host bits, and a copy", func() {
		of := parse("2001:db8::1:2/112")
		network := subnet.Of(of)
		Expect(network.String()).To(Equal("2001:db8::1:0/112"))
		network.IP[0], network.Mask[15] = 11, 0xff
		Expect(of.String()).To(Equal("2001:db8::1:2/112"))
	})

	DescribeTable("Unmapped",
		func(of, want string) {
			_, expected, err := net.ParseCIDR(want)
			Expect(err).NotTo(HaveOccurred())
			Expect(subnet.Unmapped(parse(of))).To(Equal(expected))
		},
		Entry(nil, "10.1.2.3/20", "10.1.0.0/20"),
		Entry(nil, "fd00:1::9/36", "fd00:1::/36"),
		Entry(nil, "::ffff:10.9.1.2/112", "10.9.0.0/16"),
		Entry(nil, "::ffff:10.9.1.2/128", "10.9.1.2/32"),
		Entry("of all of IPv4", "::ffff:10.9.1.2/96", "0.0.0.0/0"),
		Entry("of more than IPv4", "::ffff:10.9.1.2/88", "::ff00:0:0/88"),
	)

	DescribeTable("Single and Everything",
		func(ip, single, everything string) {
			Expect(subnet.Single(net.ParseIP(ip)).String()).To(Equal(single))
			Expect(subnet.Everything(net.ParseIP(ip)).String()).To(Equal(everything))
			Expect(subnet.IsEverything(subnet.Everything(net.ParseIP(ip)))).To(BeTrue())
		},
		Entry(nil, "10.1.2.3", "10.1.2.3/32", "0.0.0.0/0"),
		Entry(nil, "fd00::9", "fd00::9/128", "::/0"),
	)

	DescribeTable("of what is none",
		func(of *net.IPNet) {
			Expect(subnet.Of(of)).To(BeNil())
			Expect(subnet.Unmapped(of)).To(BeNil())
		},
		Entry("nothing", nil),
		Entry("the zero value", &net.IPNet{}),
		Entry("no mask", &net.IPNet{IP: net.IP{10, 0, 0, 1}}),
		Entry("a mask of the other family", &net.IPNet{IP: net.ParseIP("2001:db8::1"), Mask: net.CIDRMask(24, 32)}),
	)
})
