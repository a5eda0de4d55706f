// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"fmt"
	"net"
	"slices"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("a filter", func() {
	ip := net.ParseIP

	DescribeTable("is refused",
		func(filter Filter, why string) {
			_, err := Delete(filter)
			Expect(err).To(MatchError("delete connections: " + why))
		},
		Entry("when it is empty", Filter{}, "a filter without addresses and destination port means all connections"),
		Entry("when there is no such family", Filter{Family: 5, Protocol: 17, DstPort: 53}, "family 5 is neither IPv4 nor IPv6"),
		Entry("when an address has no family", Filter{DstIP: ip("192.0.2.1")}, "an address without its family"),
		Entry("when it means everything", Filter{Family: netlink.FAMILY_V4},
			"a filter without addresses and destination port means all connections"),
		Entry("when it means a whole protocol", Filter{Family: netlink.FAMILY_V6, Protocol: 17},
			"a filter without addresses and destination port means all connections"),
		Entry("when its address is of the other family", Filter{Family: netlink.FAMILY_V6, DstIP: ip("192.0.2.1")},
			"destination address 192.0.2.1 is not of the filter's family"),
		Entry("when its address is of the other family", Filter{Family: netlink.FAMILY_V4, DstIP: ip("2001:db8::1")},
			"destination address 2001:db8::1 is not of the filter's family"),
		Entry("when its source is of the other family", Filter{Family: netlink.FAMILY_V6, SrcIP: ip("192.0.2.1")},
			"source address 192.0.2.1 is not of the filter's family"),
		Entry("when a port has no protocol", Filter{Family: netlink.FAMILY_V4, DstPort: 53}, "destination port 53 without a protocol"),
	)

	It("matches nothing that it cannot read", func() {
		filter := Filter{Family: netlink.FAMILY_V4, Protocol: 17, DstPort: 53}
		for _, message := range []string{"\x02\x00\x00\x00", "\x02\x00\x00\x00not attributes", "\x02\x00\x00\x00\x06\x00\x01\x80no", "\x02\x00\x00\x00\x00\x00\x01\x80"} {
			c, err := parse([]byte(message))
			Expect(err).NotTo(HaveOccurred())
			Expect(filter.matches(c)).To(BeFalse())
		}
		_, err := parse([]byte{2, 0})
		Expect(err).To(MatchError("message about a connection has 2 bytes"))
	})
})

// flow is a tracked connection to a destination.
type flow struct {
	protocol uint8
	dst      string
	port     uint16
}

func (f flow) String() string { return fmt.Sprintf("%d %s %d", f.protocol, f.dst, f.port) }

var _ = Describe("deleting", func() {
	const tcp, udp, sctp = unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP

	var netns ns.NetNS
	all := []flow{
		{tcp, "192.0.2.1", 53}, {udp, "192.0.2.1", 53}, {udp, "192.0.2.1", 54}, {udp, "192.0.2.2", 53}, {sctp, "192.0.2.1", 53},
		{udp, "2001:db8::1", 53}, {udp, "2001:db8::2", 53}, {tcp, "2001:db8::1", 53},
	}

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "conntrack", "ipv6")
		netns = testutils.TempNS(GinkgoT())
		testutils.Inside(netns, func() {
			for i, one := range all {
				track(one, uint16(1000+i))
			}
		})
	})

	DescribeTable("deletes what the filter means and nothing else",
		func(filter Filter, gone ...int) {
			testutils.Inside(netns, func() {
				Expect(Delete(filter)).To(Equal(len(gone)))
				var want []flow
				for i, one := range all {
					if !slices.Contains(gone, i) {
						want = append(want, one)
					}
				}
				Expect(tracked()).To(ConsistOf(want))
				Expect(Delete(filter)).To(BeZero())
			})
		},
		Entry("by address", Filter{Family: netlink.FAMILY_V4, DstIP: net.ParseIP("192.0.2.1")}, 0, 1, 2, 4),
		Entry("by address and protocol", Filter{Family: netlink.FAMILY_V4, Protocol: udp, DstIP: net.ParseIP("192.0.2.1")}, 1, 2),
		Entry("by port", Filter{Family: netlink.FAMILY_V4, Protocol: udp, DstPort: 53}, 1, 3),
		Entry("by port of SCTP", Filter{Family: netlink.FAMILY_V4, Protocol: sctp, DstPort: 53}, 4),
		Entry("by everything", Filter{Family: netlink.FAMILY_V4, Protocol: udp, DstIP: net.ParseIP("192.0.2.2"), DstPort: 53}, 3),
		Entry("by IPv6 address", Filter{Family: netlink.FAMILY_V6, Protocol: udp, DstIP: net.ParseIP("2001:db8::1")}, 5),
		Entry("by IPv6 address alone", Filter{Family: netlink.FAMILY_V6, DstIP: net.ParseIP("2001:db8::1")}, 5, 7),
		Entry("by IPv6 address and port", Filter{Family: netlink.FAMILY_V6, Protocol: udp, DstIP: net.ParseIP("2001:db8::2"), DstPort: 53}, 6),
		Entry("by port over IPv6", Filter{Family: netlink.FAMILY_V6, Protocol: udp, DstPort: 53}, 5, 6),
		Entry("by port over both", Filter{Protocol: udp, DstPort: 53}, 1, 3, 5, 6),
		Entry("by port, of some destinations", Filter{Protocol: udp, DstPort: 53, Matches: func(dst, _ net.IP) bool {
			return dst.Equal(net.ParseIP("192.0.2.2")) || dst.Equal(net.ParseIP("2001:db8::1"))
		}}, 3, 5),
		Entry("by port, of those that the destination answers", Filter{Protocol: udp, DstPort: 53, Matches: func(dst, answering net.IP) bool {
			return dst.Equal(answering)
		}}, 1, 3, 5, 6),
		Entry("by an address nobody talks to", Filter{Family: netlink.FAMILY_V4, DstIP: net.ParseIP("192.0.2.9")}),
	)

	It("deletes what has a source, and was not translated", func() {
		one, two := flow{udp, "192.0.2.1", 54}, flow{udp, "2001:db8::1", 54}
		testutils.Inside(netns, func() {
			trackAs(one, 3000, "203.0.113.1") // as if masqueraded
			trackAs(two, 3000, "2001:db8:2::1")
			v4, v6 := net.ParseIP("198.51.100.1"), net.ParseIP("2001:db8:1::1")
			Expect(Delete(Filter{Family: netlink.FAMILY_V4, SrcIP: net.ParseIP("198.51.100.2")}, Filter{Family: netlink.FAMILY_V6, SrcIP: net.ParseIP("2001:db8:1::2")})).To(BeZero())
			Expect(Delete(Filter{Family: netlink.FAMILY_V4, SrcIP: v4, DstIP: net.ParseIP("192.0.2.2")})).To(Equal(1))
			Expect(Delete(Filter{Family: netlink.FAMILY_V4, SrcIP: v4, Untranslated: true}, Filter{Family: netlink.FAMILY_V6, SrcIP: v6, Untranslated: true})).To(Equal(len(all) - 1))
			Expect(tracked()).To(ConsistOf(one, two))
			Expect(Delete(Filter{Family: netlink.FAMILY_V4, SrcIP: v4})).To(Equal(1))
		})
	})

	It("deletes what any of several filters means, in one go or one by one", func() {
		filters := []Filter{{Protocol: udp, DstPort: 53}, {Family: netlink.FAMILY_V4, Protocol: sctp, DstPort: 53}, {Family: netlink.FAMILY_V6, Protocol: tcp, DstPort: 53}}
		testutils.Inside(netns, func() {
			Expect(quickerAtOnce(len(all), len(eachFamily(filters)))).To(BeTrue())
			Expect(Delete(filters...)).To(Equal(6))
			Expect(tracked()).To(ConsistOf(all[0], all[2]))
			track(all[1], 2000)
			track(all[4], 2001)
			Expect(quickerAtOnce(1_000_000, 4)).To(BeFalse())
			Expect(deleteSearching(eachFamily(filters))).To(Equal(2))
			Expect(tracked()).To(ConsistOf(all[0], all[2]))
			Expect(Delete()).To(BeZero())
		})
	})

	It("has the kernel search", func() {
		if kernelIsBefore(5, 8) {
			Skip("needs Linux 5.8 for CTA_FILTER")
		}
		testutils.Inside(netns, func() {
			messages, err := list(Filter{Family: netlink.FAMILY_V4, Protocol: udp, DstIP: net.ParseIP("192.0.2.1"), DstPort: 54})
			Expect(err).NotTo(HaveOccurred())
			Expect(messages).To(HaveLen(1))
		})
	})

	It("searches itself where the kernel does not", func() {
		testutils.Inside(netns, func() {
			request := newRequest(1, netlink.FAMILY_V4)
			messages, err := netlinksafe.Dump("connections", request, unix.NETLINK_NETFILTER, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(messages).To(HaveLen(5))
			filters := []Filter{{Family: netlink.FAMILY_V4, Protocol: udp, DstPort: 53}}
			Expect(deleteAll(filters, messages)).To(Equal(2))
			Expect(deleteAll(filters, messages)).To(Equal(2), "they are gone, which is as good")
			Expect(tracked()).To(HaveLen(len(all) - 2))
		})
	})
})

// track adds a connection to the kernel's table.
func track(one flow, srcPort uint16) {
	GinkgoHelper()
	trackAs(one, srcPort, "")
}

// trackAs is track with an address that the source was translated to, or "".
func trackAs(one flow, srcPort uint16, translated string) {
	GinkgoHelper()
	family, src := uint8(unix.AF_INET), net.ParseIP("198.51.100.1").To4()
	dst := net.ParseIP(one.dst).To4()
	if dst == nil {
		family, src, dst = unix.AF_INET6, net.ParseIP("2001:db8:1::1"), net.ParseIP(one.dst)
	}
	seenAs := src
	if translated != "" {
		seenAs = net.ParseIP(translated)
		if v4 := seenAs.To4(); v4 != nil {
			seenAs = v4
		}
	}
	entry := &netlink.ConntrackFlow{
		FamilyType: family,
		Forward:    netlink.IPTuple{SrcIP: src, DstIP: dst, SrcPort: srcPort, DstPort: one.port, Protocol: one.protocol},
		Reverse:    netlink.IPTuple{SrcIP: dst, DstIP: seenAs, SrcPort: one.port, DstPort: srcPort, Protocol: one.protocol},
		TimeOut:    100,
	}
	if one.protocol == unix.IPPROTO_TCP {
		entry.ProtoInfo = &netlink.ProtoInfoTCP{State: 3}
	}
	Expect(netlink.ConntrackCreate(netlink.ConntrackTable, netlink.InetFamily(family), entry)).To(Succeed(), one.String())
}

// tracked lists the table with this package's own parser: netlink's does not
// know the ports of SCTP.
func tracked() []flow {
	GinkgoHelper()
	var found []flow
	for _, family := range []netlink.InetFamily{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		messages, err := netlinksafe.Dump("connections", newRequest(1, family), unix.NETLINK_NETFILTER, 0)
		Expect(err).NotTo(HaveOccurred())
		for _, message := range messages {
			found = append(found, flowOf(message))
		}
	}
	return found
}

func flowOf(message []byte) flow {
	GinkgoHelper()
	c, err := parse(message)
	Expect(err).NotTo(HaveOccurred())
	return flow{c.protocol, c.dst.String(), c.dstPort}
}

func kernelIsBefore(major, minor int) bool {
	GinkgoHelper()
	var name unix.Utsname
	Expect(unix.Uname(&name)).To(Succeed())
	var hasMajor, hasMinor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &hasMajor, &hasMinor)
	Expect(err).NotTo(HaveOccurred())
	return hasMajor < major || hasMajor == major && hasMinor < minor
}

// FuzzParse wants no message to end in a panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x34\x00\x01\x80\x14\x00\x01\x80\x08\x00\x01\x00\xc6\x33\x64\x01\x08\x00\x02\x00\xc0\x00\x02\x01\x1c\x00\x02\x80\x05\x00\x01\x00\x11\x00\x00\x00\x06\x00\x02\x00\x03\xe8\x00\x00\x06\x00\x03\x00\x00\x35\x00\x00"))
	f.Add([]byte("\x02\x00\x00\x00\x05\x00\x01\x80x"))
	f.Fuzz(func(_ *testing.T, message []byte) {
		if c, err := parse(message); err == nil {
			Filter{Family: netlink.FAMILY_V4, Protocol: unix.IPPROTO_UDP, DstPort: 53, DstIP: net.ParseIP("192.0.2.1")}.matches(c)
		}
	})
}
