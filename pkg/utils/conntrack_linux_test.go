// SPDX-License-Identifier: Apache-2.0

package utils_test

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils"
)

var _ = Describe("conntrack helpers", func() {
	It("name the address that is none", func() {
		Expect(utils.DeleteConntrackEntriesForDstIP("192.0.2", utils.PROTOCOL_UDP)).
			To(MatchError(`delete connections to "192.0.2": not an IP address`))
	})

	It("do not delete everything for lack of a port or protocol", func() {
		Expect(utils.DeleteConntrackEntriesForDstPort(0, utils.PROTOCOL_UDP, netlink.FAMILY_V4)).NotTo(Succeed())
		Expect(utils.DeleteConntrackEntriesForDstPort(53, 0, netlink.FAMILY_V4)).NotTo(Succeed())
	})

	It("delete by address, and by port", func() {
		testutils.Need(GinkgoT(), "root", "conntrack")
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			for _, port := range []uint16{53, 54} {
				trackUDP(net.IPv4(192, 0, 2, 1).To4(), port)
				trackUDP(net.IPv4(192, 0, 2, 2).To4(), port)
			}
			Expect(utils.DeleteConntrackEntriesForDstPort(53, utils.PROTOCOL_TCP, netlink.FAMILY_V4)).To(Succeed())
			Expect(udpFlows()).To(HaveLen(4))
			Expect(utils.DeleteConntrackEntriesForDstPort(53, utils.PROTOCOL_UDP, netlink.FAMILY_V4)).To(Succeed())
			Expect(udpFlows()).To(HaveLen(2))
			Expect(utils.DeleteConntrackEntriesForDstIP("192.0.2.1", utils.PROTOCOL_UDP)).To(Succeed())
			left := udpFlows()
			Expect(left).To(HaveLen(1))
			Expect(left[0].Forward.DstIP.String()).To(Equal("192.0.2.2"))
			Expect(left[0].Forward.DstPort).To(BeEquivalentTo(54))
		})
	})
})

func trackUDP(dst net.IP, port uint16) {
	GinkgoHelper()
	src := net.IPv4(198, 51, 100, 1).To4()
	Expect(netlink.ConntrackCreate(netlink.ConntrackTable, netlink.FAMILY_V4, &netlink.ConntrackFlow{
		FamilyType: unix.AF_INET,
		Forward:    netlink.IPTuple{SrcIP: src, DstIP: dst, SrcPort: 1000, DstPort: port, Protocol: utils.PROTOCOL_UDP},
		Reverse:    netlink.IPTuple{SrcIP: dst, DstIP: src, SrcPort: port, DstPort: 1000, Protocol: utils.PROTOCOL_UDP},
		TimeOut:    100,
	})).To(Succeed())
}

func udpFlows() []*netlink.ConntrackFlow {
	GinkgoHelper()
	kernel, err := netlinksafe.NewHandle()
	Expect(err).NotTo(HaveOccurred())
	defer kernel.Close()
	flows, err := kernel.ConntrackTableList(netlink.ConntrackTable, netlink.FAMILY_V4)
	Expect(err).NotTo(HaveOccurred())
	return flows
}
