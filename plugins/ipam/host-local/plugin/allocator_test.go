// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"fmt"
	"net/netip"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/undo"
)

// testAllocator returns an allocator for a container on an open store.
func testAllocator(s *store, id string, sets ...RangeSet) *allocator {
	return &allocator{store: s, undo: new(undo.Stack), container: id, owner: ownerOf(id, "eth0"), sets: sets}
}

// openTestStore makes and opens the store of a new directory.
func openTestStore() *store {
	GinkgoHelper()
	s, err := newDirectory(GinkgoT().TempDir(), "net").create()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	return s
}

// fill reserves addresses for somebody else.
func fill(s *store, addresses ...string) {
	GinkgoHelper()
	for _, address := range addresses {
		Expect(s.reserve(ip(address), ownerOf("other", "eth0"))).To(BeTrue())
	}
}

func addressesAssigned(assigned []assignment) []string {
	var list []string
	for _, one := range assigned {
		list = append(list, one.ip.String())
	}
	return list
}

var _ = DescribeTable("round robin",
	func(want, last string, taken []string, ranges ...string) {
		s := openTestStore()
		fill(s, taken...)
		if last != "" {
			Expect(s.setLastReserved(0, ip(last))).To(Succeed())
		}
		assigned, err := testAllocator(s, "id", setOf(ranges...)).allocate(nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(addressesAssigned(assigned)).To(Equal([]string{want}))
		Expect(s.lastReserved(0)).To(Equal(ip(want)))
	},
	Entry("fresh /29", "10.0.0.2", "", nil, "10.0.0.0/29"),
	Entry("fresh /30", "10.0.0.2", "", nil, "10.0.0.0/30"),
	Entry("fresh IPv6", "2001:db8:1::2", "", nil, "2001:db8:1::/64"),
	Entry("skip what is taken", "10.0.0.3", "", []string{"10.0.0.2"}, "10.0.0.0/29"),
	Entry("skip what is taken, IPv6", "2001:db8:1::3", "", []string{"2001:db8:1::2"}, "2001:db8:1::/64"),
	Entry("next after the last", "10.0.0.6", "10.0.0.5", []string{"10.0.0.2"}, "10.0.0.0/29"),
	Entry("go back to the beginning", "10.0.0.2", "10.0.0.6", []string{"10.0.0.5"}, "10.0.0.0/29"),
	Entry("skip what is taken at the beginning", "10.0.0.4", "10.0.0.6", []string{"10.0.0.2", "10.0.0.3"}, "10.0.0.0/29"),
	Entry("the last is out of range", "10.0.0.3", "10.0.0.128", []string{"10.0.0.2"}, "10.0.0.0/29"),
	Entry("only the last is free", "10.0.0.3", "10.0.0.3", []string{"10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"}, "10.0.0.0/29"),
	Entry("several subnets", "10.0.0.2", "", nil, "10.0.0.0/30", "10.0.1.0/30"),
	Entry("on to the next subnet", "10.0.1.2", "", []string{"10.0.0.2"}, "10.0.0.0/30", "10.0.1.0/30"),
	Entry("the last at the end of the first subnet", "10.0.1.2", "10.0.0.2", nil, "10.0.0.0/30", "10.0.1.0/30"),
	Entry("back to the first subnet", "10.0.0.2", "10.0.2.2", []string{"10.0.2.2"}, "10.0.0.0/30", "10.0.1.0/30", "10.0.2.0/30"),
	Entry("a gateway in the middle", "10.0.0.4", "10.0.0.2", nil, "10.0.0.0/29 - 10.0.0.3"),
	Entry("the gateway of another subnet's range", "10.0.0.4", "", nil, "10.0.0.0/24 10.0.0.4-10.0.0.9", "10.0.1.0/24 - 10.0.0.4"),
	Entry("the gateway of the same subnet's other range", "10.0.0.5", "", nil, "10.0.0.0/24 10.0.0.4-10.0.0.9", "10.0.0.0/24 10.0.0.20-10.0.0.30 10.0.0.4"),
)

var _ = Describe("allocator", func() {
	var s *store
	BeforeEach(func() { s = openTestStore() })

	allocate := func(id string, requested []netip.Addr, sets ...RangeSet) ([]string, error) {
		assigned, err := testAllocator(s, id, sets...).allocate(requested)
		return addressesAssigned(assigned), err
	}

	It("never assigns network, broadcast and gateway, and then has none", func() {
		set := setOf("192.168.1.0/29")
		for i := 2; i <= 6; i++ {
			Expect(allocate(strconv.Itoa(i), nil, set)).To(Equal([]string{"192.168.1." + strconv.Itoa(i)}))
		}
		_, err := allocate("x", nil, set)
		Expect(err).To(MatchError("failed to allocate for range 0: no IP addresses available in range set: 192.168.1.1-192.168.1.6: every one is a gateway or has a file in " + s.path()))
		Expect(code(err)).To(Equal(uint(11)))
	})

	It("does not assign an address again at once", func() {
		set := setOf("192.168.1.0/28")
		Expect(allocate("a", nil, set)).To(Equal([]string{"192.168.1.2"}))
		Expect(s.release("192.168.1.2", ownerOf("a", "eth0"))).To(Succeed())
		Expect(allocate("a", nil, set)).To(Equal([]string{"192.168.1.3"}))
	})

	DescribeTable("gives up when all is taken",
		func(taken []string, ranges ...string) {
			fill(s, taken...)
			_, err := allocate("x", nil, setOf(ranges...))
			Expect(err).To(MatchError(HavePrefix("failed to allocate for range 0: no IP addresses available in range set: ")))
		},
		Entry("the smallest subnet", []string{"10.0.0.2"}, "10.0.0.0/30"),
		Entry("a subnet", []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}, "10.0.0.0/29"),
		Entry("several", []string{"10.0.0.2", "10.0.1.2"}, "10.0.0.0/30", "10.0.1.0/30"),
		Entry("a range that is its gateway", nil, "10.0.0.0/24 10.0.0.1-10.0.0.1"),
	)

	It("finds the one free address among many", func() {
		var taken []string
		for i := 2; i < 255; i++ {
			if i != 200 {
				taken = append(taken, fmt.Sprintf("10.0.0.%d", i))
			}
		}
		fill(s, taken...)
		Expect(allocate("x", nil, setOf("10.0.0.0/24"))).To(Equal([]string{"10.0.0.200"}))
		_, err := allocate("y", nil, setOf("10.0.0.0/24"))
		Expect(err).To(MatchError(ContainSubstring("no IP addresses available")))
	})

	It("finds a free address behind many in a range without end", func() {
		for i := 2; i < 300; i++ {
			fill(s, fmt.Sprintf("2001:db8::%x", i))
		}
		Expect(allocate("x", nil, setOf("2001:db8::/64"))).To(Equal([]string{"2001:db8::12c"}))
	})

	It("takes over what a crash left empty", func() {
		write("", s.path(), "10.0.0.2")
		Expect(allocate("x", nil, setOf("10.0.0.0/29"))).To(Equal([]string{"10.0.0.2"}))
		Expect(reservationsIn(s.path())).To(Equal([]string{"10.0.0.2 x\r\neth0"}))
	})

	It("takes over what a crash left empty when nothing else is left", func() {
		for i := 2; i < 255; i++ {
			fill(s, fmt.Sprintf("10.0.0.%d", i))
		}
		Expect(allocate("x", []netip.Addr{}, setOf("10.0.0.0/24"))).Error().To(HaveOccurred())
		write("", s.path(), "10.0.0.77")
		captureStderr(func() {
			Expect(allocate("x", nil, setOf("10.0.0.0/24"))).To(Equal([]string{"10.0.0.77"}))
		})
	})

	It("does not take over what it does not understand", func() {
		write("reserved for the printer", s.path(), "10.0.0.2")
		Expect(allocate("x", nil, setOf("10.0.0.0/29"))).To(Equal([]string{"10.0.0.3"}))
		write("\n", s.path(), "10.0.0.4")
		Expect(allocate("y", nil, setOf("10.0.0.0/29"))).To(Equal([]string{"10.0.0.5"}))
	})

	Describe("with requested addresses", func() {
		set := func() RangeSet { return setOf("10.0.0.0/29 -10.0.0.5") }

		It("assigns them", func() {
			Expect(allocate("x", []netip.Addr{ip("10.0.0.4")}, set())).To(Equal([]string{"10.0.0.4"}))
			Expect(s.lastReserved(0)).To(Equal(ip("10.0.0.4")))
		})

		It("takes the gateway of another subnet's range for an address, but not that of the same subnet's", func() {
			other := setOf("10.0.1.0/24 - 10.0.0.4")
			Expect(allocate("x", []netip.Addr{ip("10.0.0.4")}, set(), other)).To(Equal([]string{"10.0.0.4", "10.0.1.1"}))
			_, err := allocate("y", []netip.Addr{ip("10.0.0.3")}, set(), setOf("10.0.0.0/29 10.0.0.6-10.0.0.6 10.0.0.3"))
			Expect(err).To(MatchError("failed to allocate for range 0: requested ip 10.0.0.3 is subnet's gateway"))
		})

		It("assigns each out of its set, whatever the order", func() {
			requested := []netip.Addr{ip("2001:db8::7"), ip("10.0.0.4")}
			Expect(allocate("x", requested, set(), setOf("10.1.0.0/24"), setOf("2001:db8::/64"))).To(Equal([]string{"10.0.0.4", "10.1.0.2", "2001:db8::7"}))
			Expect(requested).To(HaveLen(2))
		})

		DescribeTable("says why it cannot",
			func(requested []string, message string) {
				fill(s, "10.0.0.5")
				var addresses []netip.Addr
				for _, r := range requested {
					addresses = append(addresses, ip(r))
				}
				a := testAllocator(s, "x", set())
				_, err := a.allocate(addresses)
				Expect(err).To(MatchError(message))
				s.Close()
				Expect(a.undo.Unwind()).To(Succeed())
				Expect(reservationsIn(s.path())).To(Equal([]string{"10.0.0.5 other\r\neth0"}))
			},
			Entry("taken", []string{"10.0.0.5"}, "failed to allocate for range 0: requested IP address 10.0.0.5 is not available in range set 10.0.0.1-10.0.0.5"),
			Entry("gateway", []string{"10.0.0.1"}, "failed to allocate for range 0: requested ip 10.0.0.1 is subnet's gateway"),
			Entry("behind the end", []string{"10.0.0.6"}, "failed to allocate all requested IPs: 10.0.0.6: the range sets that they are in, if any, have assigned their one address"),
			Entry("before the start", []string{"10.0.0.0"}, "failed to allocate all requested IPs: 10.0.0.0: the range sets that they are in, if any, have assigned their one address"),
			Entry("two of one set", []string{"10.0.0.3", "10.0.0.2", "9.9.9.9"}, "failed to allocate all requested IPs: 10.0.0.2 9.9.9.9: the range sets that they are in, if any, have assigned their one address"),
		)
	})

	DescribeTable("refuses a container a further address",
		func(message string, ranges string, requested ...netip.Addr) {
			fill(s, "10.0.0.9")
			Expect(allocate("x", []netip.Addr{ip("10.0.0.4")}, setOf("10.0.0.0/24"))).To(Equal([]string{"10.0.0.4"}))
			_, err := allocate("x", requested, setOf("10.1.0.0/24"), setOf(ranges))
			Expect(err).To(MatchError(message + "10.0.0.4 has been allocated to x, duplicate allocation is not allowed"))
			Expect(code(err)).To(Equal(ipam.ErrHasAddress))
			Expect(reservationsIn(s.path())).To(Equal([]string{"10.0.0.4 x\r\neth0", "10.0.0.9 other\r\neth0"}))
		},
		Entry("of its choice", "failed to allocate for range 1: ", "10.0.0.0/24", ip("10.0.0.7")),
		Entry("that it has", "failed to allocate for range 1: ", "10.0.0.0/24", ip("10.0.0.4")),
		Entry("that somebody else has", "failed to allocate for range 1: ", "10.0.0.0/24", ip("10.0.0.9")),
		Entry("of any kind", "failed to allocate for range 1: ", "10.0.0.0/24"),
		Entry("of other ranges", "", "10.2.0.0/24"),
	)

	It("takes back exactly what it has reserved", func() {
		fill(s, "10.1.0.7")
		a := testAllocator(s, "x", setOf("10.0.0.0/24"), setOf("10.1.0.0/24"))
		_, err := a.allocate([]netip.Addr{ip("10.1.0.7")})
		Expect(err).To(MatchError("failed to allocate for range 1: requested IP address 10.1.0.7 is not available in range set 10.1.0.1-10.1.0.254"))
		Expect(reservationsIn(s.path())).To(HaveLen(2))
		s.Close()
		Expect(a.undo.Unwind()).To(Succeed())
		Expect(reservationsIn(s.path())).To(Equal([]string{"10.1.0.7 other\r\neth0"}))
	})

	It("counts reservations of releases before 0.8.0 as the container's", func() {
		s.Close()
		write("x", s.path(), "10.0.0.9")
		reopened, err := s.directory.open()
		Expect(err).NotTo(HaveOccurred())
		defer reopened.Close()
		_, err = testAllocator(reopened, "x", setOf("10.0.0.0/24")).allocate(nil)
		Expect(err).To(MatchError(ContainSubstring("10.0.0.9 has been allocated to x, duplicate allocation is not allowed")))
		Expect(testAllocator(reopened, "x", setOf("10.1.0.0/24")).allocate(nil)).To(HaveLen(1))
	})

	It("says so when it cannot read the pointer, and goes on", func() {
		write("10.0.0.200\n", s.path(), "last_reserved_ip.0")
		Expect(allocate("a", nil, setOf("10.0.0.0/24"))).To(Equal([]string{"10.0.0.201"}))
		write("10.0.0.20000", s.path(), "last_reserved_ip.0")
		Expect(allocate("b", nil, setOf("10.0.0.0/24"))).To(Equal([]string{"10.0.0.2"}))
		Expect(read(s.path(), "last_reserved_ip.0")).To(Equal("10.0.0.2"))
	})
})
