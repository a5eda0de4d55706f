// SPDX-License-Identifier: Apache-2.0

package netlinksafe_test

import (
	"net"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("UnicastRoutes", func() {
	network := func(text string) *net.IPNet {
		_, network, err := net.ParseCIDR(text)
		Expect(err).NotTo(HaveOccurred())
		return network
	}

	It("has the routes that netlink's list has, and what leads a packet on its way", func() {
		testutils.OnVethPair(GinkgoT(), func() {
			indexes := map[string]int{}
			for name, cidr := range map[string]string{"left": "10.1.2.3/24", "right": "10.1.3.3/24"} {
				l, err := netlink.LinkByName(name)
				Expect(err).NotTo(HaveOccurred())
				// A link-local address and its route would come while we list.
				Expect(netlink.LinkSetIP6AddrGenMode(l, nl.IN6_ADDR_GEN_MODE_NONE)).To(Succeed())
				Expect(netlink.LinkSetUp(l)).To(Succeed())
				address, err := netlink.ParseAddr(cidr)
				Expect(err).NotTo(HaveOccurred())
				Expect(netlink.AddrAdd(l, address)).To(Succeed())
				indexes[name] = l.Attrs().Index
			}
			for _, route := range []netlink.Route{
				{Gw: net.ParseIP("10.1.2.1"), Priority: 7},
				{Dst: network("10.9.0.0/16"), Gw: net.ParseIP("10.1.2.1"), MTU: 1400, AdvMSS: 1300, Table: 4711},
				{Dst: network("10.8.0.0/16"), LinkIndex: indexes["right"], Scope: netlink.SCOPE_LINK},
				{Dst: network("10.7.0.0/16"), MultiPath: []*netlink.NexthopInfo{
					{LinkIndex: indexes["left"], Gw: net.ParseIP("10.1.2.1")}, {LinkIndex: indexes["right"], Gw: net.ParseIP("10.1.3.1")},
				}},
				{Dst: network("2001:db8:7::/48"), MultiPath: []*netlink.NexthopInfo{
					{LinkIndex: indexes["left"], Gw: net.ParseIP("fe80::1")}, {LinkIndex: indexes["right"], Gw: net.ParseIP("fe80::2")},
				}},
				{Dst: network("::/0"), Gw: net.ParseIP("fe80::1"), LinkIndex: indexes["left"], Table: 12},
				{Dst: network("10.6.0.0/16"), Type: unix.RTN_BLACKHOLE},
			} {
				Expect(netlink.RouteAdd(&route)).To(Succeed(), "%v", route)
			}

			filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC, Type: unix.RTN_UNICAST}
			listed, err := netlinksafe.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
			Expect(err).NotTo(HaveOccurred())
			var want []netlink.Route
			for _, all := range listed {
				route := netlink.Route{
					Family: all.Family, Table: all.Table, Type: all.Type, Scope: all.Scope, Dst: all.Dst, Gw: all.Gw,
					LinkIndex: all.LinkIndex, Priority: all.Priority, MTU: all.MTU, AdvMSS: all.AdvMSS,
				}
				if len(all.Dst.IP) > 0 && all.Dst.IP.IsUnspecified() { // netlink's list makes this of "no destination"
					route.Dst = nil
				}
				for _, hop := range all.MultiPath {
					route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{LinkIndex: hop.LinkIndex, Gw: hop.Gw})
				}
				want = append(want, route)
			}
			Expect(len(want)).To(BeNumerically(">=", 6+2))
			Expect(netlinksafe.UnicastRoutes()).To(ConsistOf(want))
		})
	})
})

var _ = Describe("RouteTo", func() {
	It("has what netlink's answer has", func() {
		testutils.OnVethPair(GinkgoT(), func() {
			left, err := netlink.LinkByName("left")
			Expect(err).NotTo(HaveOccurred())
			for _, cidr := range []string{"10.1.2.3/24", "2001:db8::3/64"} {
				address, err := netlink.ParseAddr(cidr)
				Expect(err).NotTo(HaveOccurred())
				address.Flags = unix.IFA_F_NODAD
				Expect(netlink.AddrAdd(left, address)).To(Succeed())
			}
			_, err = netlinksafe.RouteTo(netip.MustParseAddr("10.1.2.4"), 0)
			Expect(err).To(MatchError(unix.ENETUNREACH), "the link is down")
			for _, name := range []string{"left", "right"} {
				l, err := netlink.LinkByName(name)
				Expect(err).NotTo(HaveOccurred())
				Expect(netlink.LinkSetUp(l)).To(Succeed())
			}
			Expect(netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP("10.1.2.1")})).To(Succeed())

			for _, to := range []string{"10.1.2.4", "10.1.2.3", "192.0.2.1", "2001:db8::4", "2001:db8::3"} {
				routes, err := netlink.RouteGet(net.ParseIP(to))
				Expect(err).NotTo(HaveOccurred())
				route, err := netlinksafe.RouteTo(netip.MustParseAddr(to), 0)
				Expect(err).NotTo(HaveOccurred())
				mapped, err := netlinksafe.RouteTo(netip.AddrFrom16(netip.MustParseAddr(to).As16()), 0)
				Expect(err).NotTo(HaveOccurred())
				Expect(mapped).To(Equal(route))
				Expect([]any{route.Type, route.LinkIndex, route.Table, route.Gw, route.Dst.String()}).To(
					Equal([]any{routes[0].Type, routes[0].LinkIndex, routes[0].Table, routes[0].Gw, routes[0].Dst.String()}), to)
			}
			Eventually(func() (int, error) { // the kernel enters its own address when it has noticed the carrier
				route, err := netlinksafe.RouteTo(netip.MustParseAddr("2001:db8::3"), left.Attrs().Index)
				return route.Type, err
			}).Should(Equal(unix.RTN_LOCAL))
			for to, kind := range map[string]int{"2001:db8::3": unix.RTN_LOCAL, "2001:db8::4": unix.RTN_UNICAST} {
				routes, err := netlink.RouteGetWithOptions(net.ParseIP(to), &netlink.RouteGetOptions{IifIndex: left.Attrs().Index})
				Expect(err).NotTo(HaveOccurred())
				Expect(routes[0].Type).To(Equal(kind), to)
				route, err := netlinksafe.RouteTo(netip.MustParseAddr(to), left.Attrs().Index)
				Expect(err).NotTo(HaveOccurred())
				Expect(route.Type).To(Equal(kind), to)
			}
			_, err = netlinksafe.RouteTo(netip.MustParseAddr("10.1.2.3"), 4711)
			Expect(err).To(MatchError(unix.ENODEV))
		})
	})
})
