// SPDX-License-Identifier: Apache-2.0

//go:build linux

package defaultroute

import (
	"net"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestDefaultRoute(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "internal/defaultroute")
}

func route(dst string, link, metric int, hops ...int) netlink.Route {
	r := netlink.Route{LinkIndex: link, Priority: metric}
	if dst != "" {
		_, r.Dst, _ = net.ParseCIDR(dst)
	}
	for _, hop := range hops {
		r.MultiPath = append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: hop})
	}
	return r
}

var _ = DescribeTable("the link of the default route",
	func(want int, routes ...netlink.Route) { Expect(best(routes)).To(Equal(want)) },
	Entry("none", 0),
	Entry("no default route", 0, route("10.0.0.0/8", 2, 0)),
	Entry("one", 3, route("10.0.0.0/8", 2, 0), route("0.0.0.0/0", 3, 0)),
	Entry("whose destination is left out", 3, route("", 3, 0)),
	Entry("IPv6", 3, route("fd00::/8", 2, 0), route("::/0", 3, 1024)),
	Entry("the lowest metric, which comes last", 4, route("0.0.0.0/0", 2, 300), route("0.0.0.0/0", 3, 200), route("0.0.0.0/0", 4, 100)),
	Entry("the first of two with the same metric", 2, route("0.0.0.0/0", 2, 100), route("0.0.0.0/0", 3, 100)),
	Entry("the first of several hops", 5, route("0.0.0.0/0", 0, 0, 5, 6)),
	Entry("without a link", 2, route("0.0.0.0/0", 0, 0), route("0.0.0.0/0", 2, 100)),
)

var _ = DescribeTable("the MTU of a configuration",
	func(asked conf.MTUOrAuto, want int, commands ...string) {
		testutils.Need(GinkgoT(), "root", "veth", "ip-tool", "ipv6")
		netns := testutils.TempNS(GinkgoT())
		for _, command := range append([]string{"link add up0 mtu 1400 type veth peer name up1", "addr add 192.0.2.1/24 dev up0",
			"link set up1 mtu 1380", "link set up0 up", "link set up1 up"}, commands...) {
			testrig.IP(netns, "%s", command)
		}
		testutils.Inside(netns, func() {
			Expect(MTU(asked)).To(Equal(want))
		})
	},
	Entry("is a number", conf.MTUOrAuto{Bytes: 1300}, 1300, "route add default via 192.0.2.2"),
	Entry("is up to the kernel", conf.MTUOrAuto{}, 0, "route add default via 192.0.2.2"),
	Entry("is that of the way out", conf.MTUOrAuto{Auto: true}, 1400, "route add default via 192.0.2.2"),
	Entry("is that of the way out by IPv6, the only one", conf.MTUOrAuto{Auto: true}, 1380, "-6 route add default dev up1"),
	Entry("is the smaller one of two", conf.MTUOrAuto{Auto: true}, 1380, "route add default via 192.0.2.2", "-6 route add default dev up1"),
	Entry("is up to the kernel without a way out", conf.MTUOrAuto{Auto: true}, 0),
)
