// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"math"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = DescribeTable("a range",
	func(text, want, gateway string, size uint64) {
		set := setOf(text)
		Expect(set.String()).To(Equal(want))
		Expect(set[0].Gateway.String()).To(Equal(gateway))
		Expect(set[0].size()).To(Equal(size))
	},
	Entry("is all of an IPv4 subnet but its first and last address", "10.0.0.0/24", "10.0.0.1-10.0.0.254", "10.0.0.1", uint64(254)),
	Entry("that does not end at a byte", "10.0.0.128/25", "10.0.0.129-10.0.0.254", "10.0.0.129", uint64(126)),
	Entry("of the smallest IPv4 subnet", "10.0.0.4/30", "10.0.0.5-10.0.0.6", "10.0.0.5", uint64(2)),
	Entry("of the biggest IPv4 subnet", "0.0.0.0/0", "0.0.0.1-255.255.255.254", "0.0.0.1", uint64(1<<32-2)),
	Entry("is all of an IPv6 subnet but its first address", "2001:db8:1::/64", "2001:db8:1::1-2001:db8:1:0:ffff:ffff:ffff:ffff", "2001:db8:1::1", uint64(math.MaxUint64)),
	Entry("of the smallest IPv6 subnet", "2001:db8::4/126", "2001:db8::5-2001:db8::7", "2001:db8::5", uint64(3)),
	Entry("of a huge IPv6 subnet", "2000::/3", "2000::1-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::1", uint64(math.MaxUint64)),
	Entry("with everything said", "10.0.0.0/24 10.0.0.10-10.0.0.20 10.0.0.254", "10.0.0.10-10.0.0.20", "10.0.0.254", uint64(11)),
	Entry("of one address", "10.0.0.0/24 10.0.0.7-10.0.0.7", "10.0.0.7-10.0.0.7", "10.0.0.1", uint64(1)),
	Entry("may begin and end at the ends of its subnet if it says so", "10.0.0.0/29 10.0.0.0-10.0.0.7", "10.0.0.0-10.0.0.7", "10.0.0.1", uint64(8)),
	Entry("may have a gateway outside, of another family even", "10.0.0.0/24 - fe80::1", "10.0.0.1-10.0.0.254", "fe80::1", uint64(254)),
	Entry("is IPv4 if its addresses are mapped into IPv6", "10.0.0.0/24 ::ffff:10.0.0.5-::ffff:10.0.0.6 ::ffff:10.0.0.1", "10.0.0.5-10.0.0.6", "10.0.0.1", uint64(2)),
)

var _ = DescribeTable("Range.Contains",
	func(text, addr string, want bool) { Expect(setOf(text)[0].Contains(ip(addr))).To(Equal(want)) },
	Entry("before the start", "192.0.2.0/24 192.0.2.40-192.0.2.50", "192.0.2.39", false),
	Entry("the start", "192.0.2.0/24 192.0.2.40-192.0.2.50", "192.0.2.40", true),
	Entry("in between", "192.0.2.0/24 192.0.2.40-192.0.2.50", "192.0.2.44", true),
	Entry("the end", "192.0.2.0/24 192.0.2.40-192.0.2.50", "192.0.2.50", true),
	Entry("behind the end", "192.0.2.0/24 192.0.2.40-192.0.2.50", "192.0.2.51", false),
	Entry("another subnet", "192.0.2.0/24", "192.0.3.5", false),
	Entry("another family", "192.0.2.0/24", "2001:db8::5", false),
	Entry("IPv6, before", "2001:db8:1::/64 2001:db8:1::40-2001:db8:1::50", "2001:db8:1::39", false),
	Entry("IPv6, in between", "2001:db8:1::/64 2001:db8:1::40-2001:db8:1::50", "2001:db8:1::44", true),
	Entry("IPv6, behind", "2001:db8:1::/64 2001:db8:1::40-2001:db8:1::50", "2001:db8:1::51", false),
)

var _ = DescribeTable("Overlaps is the same both ways",
	func(a, b string, want bool) {
		setA, setB := setOf(a), setOf(b)
		Expect(setA[0].Overlaps(setB[0])).To(Equal(want))
		Expect(setB[0].Overlaps(setA[0])).To(Equal(want))
		Expect(setA.Overlaps(setB)).To(Equal(want))
		Expect(setB.Overlaps(setA)).To(Equal(want))
	},
	Entry("equal", "10.0.0.0/24", "10.0.0.0/24", true),
	Entry("disjoint subnets", "10.0.0.0/24", "10.0.1.0/24", false),
	Entry("one subnet in the other", "10.0.0.0/20", "10.0.1.0/24", true),
	Entry("disjoint ranges of one subnet", "10.0.0.0/24 -10.0.0.99", "10.0.0.0/24 10.0.0.100-", false),
	Entry("ranges of one subnet that meet", "10.0.0.0/24 -10.0.0.100", "10.0.0.0/24 10.0.0.100-", true),
	Entry("one range in the other", "10.0.0.0/24 10.0.0.10-10.0.0.20", "10.0.0.0/24 10.0.0.5-10.0.0.30", true),
	Entry("families with equal bits", "10.0.0.0/24", "a00::/24", false),
)

var _ = Describe("RangeSet", func() {
	It("finds the range of an address", func() {
		set := setOf("10.0.0.0/24", "10.0.2.0/24 10.0.2.5-10.0.2.6")
		r, ok := set.find(ip("10.0.2.6"))
		Expect(ok).To(BeTrue())
		Expect(r).To(Equal(set[1]))
		_, ok = set.find(ip("10.0.2.7"))
		Expect(ok).To(BeFalse())
		Expect(set.contains(ip("10.0.0.1"))).To(BeTrue())
		Expect(set.size()).To(Equal(uint64(256)))
	})

	It("does not overflow", func() {
		Expect(setOf("2001:db8::/64", "2001:db8:1::/64").size()).To(Equal(uint64(math.MaxUint64)))
	})

	DescribeTable("yields every address once, behind the last one",
		func(last string, want []string, ranges ...string) {
			Expect(collect(setOf(ranges...), last, 100)).To(Equal(want))
		},
		Entry("from the beginning", "", []string{"192.168.1.1", "192.168.1.2", "192.168.1.3", "192.168.1.4", "192.168.1.5", "192.168.1.6"}, "192.168.1.0/29"),
		Entry("from the end", "192.168.1.6", []string{"192.168.1.1", "192.168.1.2", "192.168.1.3", "192.168.1.4", "192.168.1.5", "192.168.1.6"}, "192.168.1.0/29"),
		Entry("from the middle", "192.168.1.3", []string{"192.168.1.4", "192.168.1.5", "192.168.1.6", "192.168.1.1", "192.168.1.2", "192.168.1.3"}, "192.168.1.0/29"),
		Entry("from outside", "192.168.1.7", []string{"192.168.1.1", "192.168.1.2", "192.168.1.3", "192.168.1.4", "192.168.1.5", "192.168.1.6"}, "192.168.1.0/29"),
		Entry("from the end of the first range", "192.168.1.2", []string{"192.168.2.1", "192.168.2.2", "192.168.1.1", "192.168.1.2"}, "192.168.1.0/30", "192.168.2.0/30"),
		Entry("from the end of the last range", "192.168.2.2", []string{"192.168.1.1", "192.168.1.2", "192.168.2.1", "192.168.2.2"}, "192.168.1.0/30", "192.168.2.0/30"),
		Entry("one address", "10.0.0.5", []string{"10.0.0.5"}, "10.0.0.0/24 10.0.0.5-10.0.0.5"),
		Entry("the last address there is", "", []string{"255.255.255.253", "255.255.255.254", "255.255.255.255"}, "255.255.255.252/30 255.255.255.253-255.255.255.255"),
	)

	It("yields the beginning of a set that has no end", func() {
		Expect(collect(setOf("2001:db8:1::/64"), "2001:db8:1:0:ffff:ffff:ffff:fffe", 3)).To(Equal(
			[]string{"2001:db8:1:0:ffff:ffff:ffff:ffff", "2001:db8:1::1", "2001:db8:1::2"}))
	})
})
