// SPDX-License-Identifier: Apache-2.0

package ip_test

import (
	"context"
	"net"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/ip"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("routes", func() {
	var netns ns.NetNS

	BeforeEach(func() {
		netns = testutils.TempNS(GinkgoT())
		testutils.Inside(netns, func() {
			left := addVeth("left", "right")
			Expect(netlink.LinkSetUp(left)).To(Succeed())
			Expect(netlink.LinkSetUp(findLink("right"))).To(Succeed())
			addAddress(left, "10.1.2.3/24")
			Expect(netlink.AddrAdd(left, &netlink.Addr{IPNet: cidr("2001:db8::3/64"), Flags: unix.IFA_F_NODAD})).To(Succeed())
		})
	})

	only := func(dst string) netlink.Route {
		GinkgoHelper()
		network := cidr(dst)
		family := netlink.FAMILY_V6
		if network.IP.To4() != nil {
			family = netlink.FAMILY_V4
		}
		routes, err := netlinksafe.RouteListFiltered(family, &netlink.Route{Dst: network}, netlink.RT_FILTER_DST)
		Expect(err).NotTo(HaveOccurred())
		Expect(routes).To(HaveLen(1))
		return routes[0]
	}

	It("are added with a gateway", func() {
		testutils.Inside(netns, func() {
			left := findLink("left")
			Expect(ip.AddRoute(cidr("10.9.0.0/16"), net.ParseIP("10.1.2.1"), left)).To(Succeed())
			route := only("10.9.0.0/16")
			Expect(route.Gw.String()).To(Equal("10.1.2.1"))
			Expect(route.Scope).To(Equal(netlink.SCOPE_UNIVERSE))
			Expect(route.LinkIndex).To(Equal(left.Attrs().Index))
		})
	})

	It("are added without a gateway", func() {
		testutils.Inside(netns, func() {
			Expect(ip.AddRoute(cidr("10.9.0.0/16"), nil, findLink("left"))).To(Succeed())
			Expect(only("10.9.0.0/16").Gw).To(BeNil())
		})
	})

	It("are added for hosts", func() {
		testutils.Inside(netns, func() {
			Expect(ip.AddHostRoute(cidr("10.9.0.1/32"), nil, findLink("left"))).To(Succeed())
			Expect(only("10.9.0.1/32").Scope).To(Equal(netlink.SCOPE_HOST))
		})
	})

	DescribeTable("are added for everything",
		func(gw, everything string) {
			testutils.Inside(netns, func() {
				Expect(ip.AddDefaultRoute(net.ParseIP(gw), findLink("left"))).To(Succeed())
				Expect(only(everything).Gw.String()).To(Equal(gw))
			})
		},
		Entry("IPv4", "10.1.2.1", "0.0.0.0/0"),
		Entry("IPv6", "2001:db8::1", "::/0"),
	)

	It("are added for everything of IPv6 without a gateway", func() {
		testutils.Inside(netns, func() {
			Expect(ip.AddDefaultRoute(nil, findLink("left"))).To(Succeed())
			Expect(only("::/0").Gw).To(BeNil())
		})
	})

	It("are added once, and os.IsExist says so", func() {
		testutils.Inside(netns, func() {
			left := findLink("left")
			Expect(ip.AddRoute(cidr("10.9.0.0/16"), nil, left)).To(Succeed())
			Expect(os.IsExist(ip.AddRoute(cidr("10.9.0.0/16"), nil, left))).To(BeTrue())
			Expect(ip.AddHostRoute(cidr("10.9.0.1/32"), nil, left)).To(Succeed())
			Expect(os.IsExist(ip.AddHostRoute(cidr("10.9.0.1/32"), nil, left))).To(BeTrue())
			Expect(ip.AddDefaultRoute(net.ParseIP("10.1.2.1"), left)).To(Succeed())
			Expect(os.IsExist(ip.AddDefaultRoute(net.ParseIP("10.1.2.1"), left))).To(BeTrue())
		})
	})

	DescribeTable("IsIPNetZero",
		func(network *net.IPNet, want bool) { Expect(ip.IsIPNetZero(network)).To(Equal(want)) },
		Entry("nothing", nil, true),
		Entry("the zero value", &net.IPNet{}, true),
		Entry("all of IPv4", &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, true),
		Entry("all of IPv6", &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}, true),
		Entry("half of IPv4", &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(1, 32)}, false),
		Entry("a network", &net.IPNet{IP: net.IPv4(10, 0, 0, 0), Mask: net.CIDRMask(8, 32)}, false),
	)

	Describe("validated", func() {
		expect := func(routes ...*types.Route) error { return ip.ValidateExpectedRoute(routes) }

		BeforeEach(func() {
			testutils.Inside(netns, func() {
				left := findLink("left")
				Expect(ip.AddDefaultRoute(net.ParseIP("10.1.2.1"), left)).To(Succeed())
				Expect(ip.AddDefaultRoute(net.ParseIP("2001:db8::1"), left)).To(Succeed())
				Expect(netlink.RouteAdd(&netlink.Route{LinkIndex: left.Attrs().Index, Dst: cidr("10.7.0.0/16"), Table: 77})).To(Succeed())
				Expect(netlink.RouteAdd(&netlink.Route{Dst: cidr("10.6.0.0/16"), Type: unix.RTN_UNREACHABLE})).To(Succeed())
				Expect(netlink.RouteAdd(&netlink.Route{Dst: cidr("10.8.0.0/16"), MultiPath: []*netlink.NexthopInfo{
					{LinkIndex: left.Attrs().Index, Gw: net.ParseIP("10.1.2.1")},
					{LinkIndex: left.Attrs().Index, Gw: net.ParseIP("10.1.2.2")},
				}})).To(Succeed())
			})
		})

		It("are all there", func() {
			testutils.Inside(netns, func() {
				Expect(expect(
					&types.Route{Dst: *cidr("0.0.0.0/0"), GW: net.ParseIP("10.1.2.1")},
					&types.Route{Dst: *cidr("::/0"), GW: net.ParseIP("2001:db8::1")},
					&types.Route{Dst: *cidr("0.0.0.0/0"), GW: net.ParseIP("10.1.2.99")}, // whatever its gateway, as upstream has it
					&types.Route{Dst: *cidr("::/0"), GW: net.ParseIP("2001:db8::99")},
					&types.Route{Dst: *cidr("10.1.2.3/24")}, // host bits do not matter
					&types.Route{Dst: *cidr("10.7.0.0/16")},
					&types.Route{Dst: *cidr("10.7.0.0/16"), Table: pointer(77)},
					&types.Route{Dst: *cidr("10.8.0.0/16"), GW: net.ParseIP("10.1.2.2")},
					nil,
				)).To(Succeed())
				Expect(expect()).To(Succeed())
			})
		})

		It("are named when they are not there", func() {
			testutils.Inside(netns, func() {
				err := expect(
					&types.Route{Dst: *cidr("0.0.0.0/0"), GW: net.ParseIP("10.1.2.1"), Table: pointer(78)},
					&types.Route{Dst: *cidr("10.1.2.0/25")},
					&types.Route{Dst: *cidr("10.7.0.0/16"), Table: pointer(78)},
					&types.Route{Dst: *cidr("10.8.0.0/16"), GW: net.ParseIP("10.1.2.9")},
					&types.Route{Dst: net.IPNet{IP: net.IPv6zero}},
					&types.Route{Dst: *cidr("10.7.0.0/16"), Table: pointer(0)},
					&types.Route{Dst: *cidr("10.1.2.3/32")}, // local
					&types.Route{Dst: *cidr("10.6.0.0/16")}, // unreachable
				)
				Expect(err).To(MatchError(And(
					ContainSubstring("0.0.0.0/0 via 10.1.2.1 in table 78"),
					ContainSubstring("10.1.2.0/25"),
					ContainSubstring("10.7.0.0/16 in table 78"),
					ContainSubstring("10.8.0.0/16 via 10.1.2.9"),
					ContainSubstring("not the destination of a route"),
					ContainSubstring("10.7.0.0/16 in table 0"),
					ContainSubstring("10.1.2.3/32"),
					ContainSubstring("10.6.0.0/16"),
				)))
			})
		})
	})

	Describe("addresses validated", func() {
		expect := func(texts ...string) error {
			var ips []*current.IPConfig
			for _, text := range texts {
				ips = append(ips, &current.IPConfig{Address: *cidr(text)})
			}
			return ip.ValidateExpectedInterfaceIPs("left", append(ips, nil))
		}

		It("are all there", func() {
			testutils.Inside(netns, func() {
				addAddress(findLink("left"), "10.5.5.5/32")
				addAddress(findLink("left"), "2001:db8:5::5/128")
				Expect(expect("10.1.2.3/24", "2001:db8::3/64", "10.5.5.5/32", "2001:db8:5::5/128")).To(Succeed())
			})
		})

		It("are named when they are not there", func() {
			testutils.Inside(netns, func() {
				Expect(expect("10.1.2.3/24", "10.1.2.3/25", "10.1.2.4/24", "2001:db8::4/64")).To(MatchError(And(
					Not(ContainSubstring("10.1.2.3/24")),
					ContainSubstring("10.1.2.3/25"),
					ContainSubstring("10.1.2.4/24"),
					ContainSubstring("2001:db8::4/64"),
				)))
			})
		})

		It("need the route to their network, in whatever table", func() {
			testutils.Inside(netns, func() {
				connected := only("10.1.2.0/24")
				Expect(netlink.RouteDel(&connected)).To(Succeed())
				Expect(expect("10.1.2.3/24")).To(MatchError(ContainSubstring("10.1.2.0/24 is missing")))
				connected.Table = 77
				Expect(netlink.RouteAdd(&connected)).To(Succeed())
				Expect(expect("10.1.2.3/24")).To(Succeed())
			})
		})

		It("need their link", func() {
			testutils.Inside(netns, func() {
				Expect(ip.ValidateExpectedInterfaceIPs("nothing", nil)).To(MatchError(ip.ErrLinkNotFound))
			})
		})
	})
})

var _ = Describe("SettleAddresses", func() {
	It("waits for duplicate address detection", func() {
		netns := testutils.TempNS(GinkgoT())
		testutils.Inside(netns, func() {
			left := addVeth("left", "right")
			Expect(netlink.LinkSetUp(left)).To(Succeed())
			Expect(netlink.LinkSetUp(findLink("right"))).To(Succeed())
			addAddress(left, "2001:db8::3/64")
			Expect(ip.SettleAddresses("left", time.Millisecond)).To(MatchError(context.DeadlineExceeded))
			Expect(ip.SettleAddresses("left", 10*time.Second)).To(Succeed())
			addresses, err := netlinksafe.AddrList(left, netlink.FAMILY_V6)
			Expect(err).NotTo(HaveOccurred())
			for _, addr := range addresses {
				Expect(addr.Flags & unix.IFA_F_TENTATIVE).To(BeZero())
			}
		})
	})

	It("does not wait without carrier", func() {
		netns := testutils.TempNS(GinkgoT())
		testutils.Inside(netns, func() {
			left := addVeth("left", "right")
			Expect(netlink.LinkSetUp(left)).To(Succeed())
			addAddress(left, "2001:db8::3/64")
			begin := time.Now()
			Expect(ip.SettleAddresses("left", 10*time.Second)).To(Succeed())
			Expect(time.Since(begin)).To(BeNumerically("<", time.Second))
			Expect(ip.SettleAddresses("nothing", time.Second)).To(MatchError(ip.ErrLinkNotFound))
		})
	})
})

var _ = Describe("forwarding", func() {
	const v4, v6 = "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"
	var netns ns.NetNS

	BeforeEach(func() {
		netns = testutils.TempNS(GinkgoT())
		testutils.Inside(netns, func() {
			Expect(os.WriteFile(v4, []byte("0"), 0)).To(Succeed())
			Expect(os.WriteFile(v6, []byte("0"), 0)).To(Succeed())
		})
	})

	DescribeTable("is enabled for the families of",
		func(want4, want6 string, ips ...*current.IPConfig) {
			testutils.Inside(netns, func() {
				Expect(ip.EnableForward(ips)).To(Succeed())
				Expect(os.ReadFile(v4)).To(BeEquivalentTo(want4 + "\n"))
				Expect(os.ReadFile(v6)).To(BeEquivalentTo(want6 + "\n"))
			})
		},
		Entry("nothing", "0", "0"),
		Entry("a null entry", "0", "0", nil),
		Entry("IPv4", "1", "0", config(net.IPv4(10, 0, 0, 1), 24, 32), config(net.IPv4(10, 0, 0, 2), 24, 32)),
		Entry("IPv6", "0", "1", config(net.ParseIP("2001:db8::1"), 64, 128)),
		Entry("both", "1", "1", config(net.ParseIP("2001:db8::1"), 64, 128), config(net.IPv4(10, 0, 0, 1), 24, 32)),
	)

	It("is enabled for each family alone", func() {
		testutils.Inside(netns, func() {
			Expect(ip.EnableIP4Forward()).To(Succeed())
			Expect(os.ReadFile(v6)).To(BeEquivalentTo("0\n"))
			Expect(ip.EnableIP6Forward()).To(Succeed())
			Expect(os.ReadFile(v6)).To(BeEquivalentTo("1\n"))
		})
	})

	It("is not written again", func() {
		testutils.Inside(netns, func() {
			for path, enable := range map[string]func() error{v4: ip.EnableIP4Forward, v6: ip.EnableIP6Forward} {
				Expect(enable()).To(Succeed())
				before, err := os.Stat(path)
				Expect(err).NotTo(HaveOccurred())
				time.Sleep(20 * time.Millisecond) // more than the granularity of the time of change
				Expect(enable()).To(Succeed())
				after, err := os.Stat(path)
				Expect(err).NotTo(HaveOccurred())
				Expect(after.ModTime()).To(Equal(before.ModTime()))
			}
		})
	})
})

func config(addr net.IP, ones, bits int) *current.IPConfig {
	return &current.IPConfig{Address: net.IPNet{IP: addr, Mask: net.CIDRMask(ones, bits)}}
}

func pointer(i int) *int { return &i }
