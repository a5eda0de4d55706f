// SPDX-License-Identifier: Apache-2.0

//go:build linux

package childlink

import (
	"net"
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

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
	func(want int, routes ...netlink.Route) { Expect(defaultLink(routes)).To(Equal(want)) },
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

var _ = Describe("the default route of the kernel", func() {
	host := func(commands ...string) ns.NetNS {
		GinkgoHelper()
		testutils.Need(GinkgoT(), "root", "veth", "ip-tool")
		netns := testrig.Namespace()
		commands = append([]string{"link add up0 type veth peer name up1", "addr add 192.0.2.1/24 dev up0", "addr add 198.51.100.1/24 dev up1",
			"link set up0 up", "link set up1 up"}, commands...)
		Expect(netns.Do(func(ns.NetNS) error {
			for _, command := range commands {
				out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput()
				Expect(err).NotTo(HaveOccurred(), "ip %s: %s", command, out)
			}
			return nil
		})).To(Succeed())
		return netns
	}
	found := func(netns ns.NetNS) (string, error) {
		l, err := ns.Call(netns, func() (netlink.Link, error) { return (&Master{}).find() })
		if err != nil {
			return "", err
		}
		return l.Attrs().Name, nil
	}

	It("counts with its metric", func() {
		Expect(found(host("route add default via 192.0.2.9 metric 200", "route add default via 198.51.100.9 metric 100"))).To(Equal("up1"))
	})

	It("counts with its first hop", func() {
		Expect(found(host("route add default nexthop via 198.51.100.9 nexthop via 192.0.2.9"))).To(Equal("up1"))
	})

	It("does not count if it is unreachable, or in another table", func() {
		Expect(found(host("route add unreachable default metric 1", "route add default via 198.51.100.9 table 100",
			"route add default via 192.0.2.9 metric 500"))).To(Equal("up0"))
	})

	It("may be IPv6 where there is none of IPv4", func() {
		Expect(found(host("-6 route add default dev up1 metric 50"))).To(Equal("up1"))
		Expect(found(host("-6 route add default dev up1 metric 50", "route add default via 192.0.2.9 metric 500"))).To(Equal("up0"))
	})

	It("has to be there", func() {
		_, err := found(host())
		Expect(err).To(MatchError("master: missing, and there is no default route on the host whose interface could take its place; name an interface"))
	})
})
