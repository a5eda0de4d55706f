// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sbr

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/linkroutes"
)

// orphan is a route in a table that no rule leads to.
type orphan struct {
	table             int
	protocol          netlink.RouteProtocol
	dst, gateway, src string
}

func (o orphan) route() netlink.Route {
	route := linkroutes.InTable(through(o.dst, o.gateway, o.src), o.table)
	route.Protocol = o.protocol
	return route
}

var _ = DescribeTable("the table of an address whose rule is gone",
	func(ip, gateway string, want int, orphans ...orphan) {
		var routes []netlink.Route
		for _, o := range orphans {
			routes = append(routes, o.route())
		}
		Expect(orphaned(routes, address(ip, gateway), net.ParseIP(gateway))).To(Equal(want))
	},
	Entry("has a route with the address as the source", "10.1.0.5/24", "", 101,
		orphan{100, unix.RTPROT_BOOT, "10.1.0.1/32", "", "10.1.0.6"}, orphan{101, unix.RTPROT_BOOT, "10.1.0.1/32", "", "10.1.0.5"}),
	Entry("has the kernel's route to the subnet", "fd00:1::5/64", "", 101,
		orphan{100, unix.RTPROT_KERNEL, "fd00:1::/48", "", ""}, orphan{101, unix.RTPROT_KERNEL, "fd00:1::/64", "", ""}),
	Entry("has that also with another address as the source", "10.1.0.6/24", "", 100, orphan{100, unix.RTPROT_KERNEL, "10.1.0.0/24", "", "10.1.0.5"}),
	Entry("has our default route", "10.1.0.5/32", "10.9.0.1", 100, orphan{100, ownTable, "0.0.0.0/0", "10.9.0.1", ""}),
	Entry("has our default route through the interface itself", "10.1.0.5/32", "0.0.0.0", 100, orphan{100, ownTable, "0.0.0.0/0", "", ""}),
	Entry("has one through a gateway in the subnet", "10.1.0.5/24", "", 101,
		orphan{100, ownTable, "0.0.0.0/0", "10.9.0.1", ""}, orphan{101, ownTable, "0.0.0.0/0", "10.1.0.1", ""}),
	Entry("has the source rather than our default route", "10.1.0.5/24", "10.1.0.1", 101,
		orphan{100, ownTable, "0.0.0.0/0", "10.1.0.1", ""}, orphan{101, unix.RTPROT_KERNEL, "10.1.0.0/24", "", "10.1.0.5"}),
	Entry("is the first", "10.1.0.5/24", "", 100,
		orphan{101, unix.RTPROT_KERNEL, "10.1.0.0/24", "", "10.1.0.5"}, orphan{100, unix.RTPROT_KERNEL, "10.1.0.0/24", "", "10.1.0.5"}),
	Entry("is none of somebody's", "10.1.0.5/24", "10.1.0.1", 0,
		orphan{100, unix.RTPROT_BOOT, "0.0.0.0/0", "10.1.0.1", ""}, orphan{100, unix.RTPROT_BOOT, "10.1.0.0/24", "", ""}, orphan{100, unix.RTPROT_BOOT, "10.7.0.0/24", "10.1.0.1", "10.1.0.5"}),
	Entry("is none of the other family", "10.1.0.5/24", "10.1.0.1", 0, orphan{100, ownTable, "::/0", "fd00:1::1", ""}, orphan{100, unix.RTPROT_KERNEL, "fd00:1::/64", "", ""}),
)

var _ = It("gives each of two addresses in a subnet one of the tables whose rules are gone", func() {
	s := &state{link: 7, used: map[int]bool{100: true, 101: true}}
	for table := range s.used {
		s.orphans = append(s.orphans, orphan{table, unix.RTPROT_KERNEL, "10.1.0.0/24", "", "10.1.0.5"}.route())
	}
	p := s.plan([]*current.IPConfig{address("10.1.0.5/24", ""), address("10.1.0.6/24", ""), address("10.1.0.7/24", "")}, &Config{})
	Expect(ruleTexts(p.rules)).To(Equal([]string{"from 10.1.0.5/32 table 100", "from 10.1.0.6/32 table 101", "from 10.1.0.7/32 table 102"}))
})
