// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"net"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("the list as text", func() {
	udp53 := Filter{Family: netlink.FAMILY_V4, Protocol: unix.IPPROTO_UDP, DstPort: 53}

	DescribeTable("has a line for each connection", func(line string, want connection) {
		c, ok := parseLine([]byte(line))
		Expect(ok).To(BeTrue())
		Expect(c).To(Equal(want))
	},
		Entry("of UDP", "ipv4     2 udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=4000 dport=53 [UNREPLIED] src=192.0.2.2 dst=192.0.2.1 sport=53 dport=4000 mark=0 zone=0 use=2\n",
			connection{family: netlink.FAMILY_V4, protocol: 17, src: net.IP{192, 0, 2, 1}, dst: net.IP{192, 0, 2, 2}, dstPort: 53, answering: net.IP{192, 0, 2, 2}, answered: net.IP{192, 0, 2, 1}}),
		Entry("of TCP over IPv6", "ipv6     10 tcp      6 431999 ESTABLISHED src=2001:0db8:0000:0000:0000:0000:0000:0001 dst=2001:0db8:0000:0000:0000:0000:0000:0002 sport=4000 dport=80 src=2001:0db8:0000:0000:0000:0000:0000:0002 dst=2001:0db8:0000:0000:0000:0000:0000:0001 sport=80 dport=4000 [ASSURED] mark=0 zone=0 use=2",
			connection{family: netlink.FAMILY_V6, protocol: 6, src: net.ParseIP("2001:db8::1"), dst: net.ParseIP("2001:db8::2"), dstPort: 80, answering: net.ParseIP("2001:db8::2"), answered: net.ParseIP("2001:db8::1")}),
		Entry("that the hardware has taken over, without its timeout", "ipv4     2 tcp      6 src=192.0.2.1 dst=192.0.2.2 sport=4000 dport=80 src=10.88.0.2 dst=192.0.2.1 sport=80 dport=4000 [OFFLOAD] mark=0 zone=0 use=3",
			connection{family: netlink.FAMILY_V4, protocol: 6, src: net.IP{192, 0, 2, 1}, dst: net.IP{192, 0, 2, 2}, dstPort: 80, answering: net.IP{10, 88, 0, 2}, answered: net.IP{192, 0, 2, 1}}),
		Entry("without ports", "ipv4     2 unknown  2 591 src=10.98.0.1 dst=224.0.0.22 [UNREPLIED] src=224.0.0.22 dst=10.98.0.1 mark=0 use=1",
			connection{family: netlink.FAMILY_V4, protocol: 2, src: net.IP{10, 98, 0, 1}, dst: net.IP{224, 0, 0, 22}, answering: net.IP{224, 0, 0, 22}, answered: net.IP{10, 98, 0, 1}}),
	)

	DescribeTable("is not relied on when it is not understood", func(line string) {
		_, ok := parseLine([]byte(line))
		Expect(ok).To(BeFalse())
	},
		Entry("an empty line", "\n"),
		Entry("another family", "unknown  3 udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=4000 dport=53"),
		Entry("a protocol by name alone", "ipv4     2 udp udp 29 src=192.0.2.1 dst=192.0.2.2 sport=4000 dport=53"),
		Entry("no destination", "ipv4     2 udp      17 29 src=192.0.2.1 sport=4000 dport=53"),
		Entry("a destination of the other family", "ipv4     2 udp      17 29 src=192.0.2.1 dst=2001:db8::1 sport=4000 dport=53 src=2001:db8::1"),
		Entry("no port", "ipv4     2 udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=4000 dport=65536 src=192.0.2.2 dst=192.0.2.1"),
		Entry("nobody who answers", "ipv4     2 udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=4000 dport=53 [UNREPLIED]"),
		Entry("nobody who is answered", "ipv4     2 udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=4000 dport=53 [UNREPLIED] src=192.0.2.2"),
	)

	Describe("of a namespace", func() {
		var netns ns.NetNS
		BeforeEach(func() {
			testutils.Need(GinkgoT(), "root", "conntrack", "conntrack-text")
			netns = testutils.TempNS(GinkgoT())
		})

		It("shows what is not there, and what may be", func() {
			testutils.Inside(netns, func() {
				track(flow{unix.IPPROTO_UDP, "192.0.2.1", 53}, 1000)
				track(flow{unix.IPPROTO_TCP, "2001:db8::1", 80}, 1000)
				Expect(areAbsent([]Filter{{Protocol: unix.IPPROTO_UDP, Family: netlink.FAMILY_V4, DstPort: 54}}, 2)).To(BeTrue())
				Expect(areAbsent([]Filter{udp53}, 2)).To(BeFalse(), "it is there")
				Expect(areAbsent([]Filter{{Protocol: unix.IPPROTO_TCP, Family: netlink.FAMILY_V6, DstPort: 80}}, 2)).To(BeFalse(), "it is there")
				Expect(areAbsent([]Filter{{Protocol: unix.IPPROTO_TCP, Family: netlink.FAMILY_V4, DstPort: 80}}, 3)).To(BeFalse(), "one is missing from the list")
			})
		})

		It("is that of the thread's namespace", func() {
			testutils.Inside(netns, func() {
				for i := range fewConnections - 1 {
					track(flow{unix.IPPROTO_UDP, "2001:db8::1", 8000}, uint16(1000+i))
				}
				Expect(Delete(udp53)).To(BeZero())
				track(flow{unix.IPPROTO_UDP, "192.0.2.1", 53}, 999)
				Expect(Delete(udp53)).To(Equal(1))
				Expect(tracked()).To(HaveLen(fewConnections - 1))
			})
		})

		It("has to be short", func() {
			testutils.Inside(netns, func() {
				for i := range 10 {
					track(flow{unix.IPPROTO_UDP, "192.0.2.1", 8000}, uint16(1000+i))
				}
				Expect(areAbsent([]Filter{udp53}, 10)).To(BeTrue())
				for i := range 30 {
					track(flow{unix.IPPROTO_UDP, "192.0.2.1", 8000}, uint16(2000+i))
				}
				Expect(areAbsent([]Filter{udp53}, 10)).To(BeFalse())
			})
		})
	})
})

// FuzzParseLine wants no line to end in a panic.
func FuzzParseLine(f *testing.F) {
	f.Add([]byte("ipv4     2 udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=4000 dport=53 [UNREPLIED] src=192.0.2.2 dst=192.0.2.1"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if c, ok := parseLine(line); ok && len(c.dst) != net.IPv4len && len(c.dst) != net.IPv6len {
			t.Errorf("%q has the destination %v", line, c.dst)
		}
	})
}
