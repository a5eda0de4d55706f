// SPDX-License-Identifier: Apache-2.0

package check_test

import (
	"net"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

const mac = "02:00:00:00:0a:01"

var _ = Describe("the kernel's state", func() {
	var netns ns.NetNS

	// eth0 and peer are a veth pair. eth0 has the addresses 10.1.2.3/24 and
	// 2001:db8::3/64.
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "ipv6", "veth")
		netns = testutils.TempNS(GinkgoT())
		testutils.Inside(netns, func() {
			address, err := net.ParseMAC(mac)
			Expect(err).NotTo(HaveOccurred())
			Expect(netlink.LinkAdd(&netlink.Veth{
				LinkAttrs: netlink.LinkAttrs{Name: "eth0", HardwareAddr: address, MTU: 1400},
				PeerName:  "peer",
			})).To(Succeed())
			for _, name := range []string{"eth0", "peer"} {
				Expect(netlink.LinkSetUp(find(name))).To(Succeed())
			}
			addAddress("eth0", "10.1.2.3/24")
			addAddress("eth0", "2001:db8::3/64")
		})
	})

	// reported returns what examine reports in the namespace.
	reported := func(examine func(*check.Report)) error {
		GinkgoHelper()
		var report check.Report
		testutils.Inside(netns, func() { examine(&report) })
		return report.Err()
	}
	addRoute := func(route netlink.Route) {
		GinkgoHelper()
		if len(route.MultiPath) == 0 {
			route.LinkIndex = find("eth0").Attrs().Index
		}
		Expect(netlink.RouteAdd(&route)).To(Succeed())
	}

	Describe("Link", func() {
		It("agrees", func() {
			Expect(reported(func(report *check.Report) {
				found := report.Link(&current.Interface{Name: "eth0", Mac: mac, Mtu: 1400}, "veth")
				Expect(found.Attrs().Name).To(Equal("eth0"))
				report.Up(found)
			})).To(Succeed())
		})

		It("agrees on a MAC address however it is written", func() {
			Expect(reported(func(report *check.Report) {
				report.Link(&current.Interface{Name: "eth0", Mac: "02-00-00-00-0A-01"}, "")
			})).To(Succeed())
		})

		It("compares only what is wanted", func() {
			Expect(reported(func(report *check.Report) { report.Link(&current.Interface{Name: "lo"}, "") })).To(Succeed())
		})

		It("differs in everything", func() {
			Expect(reported(func(report *check.Report) {
				Expect(netlink.LinkSetDown(find("eth0"))).To(Succeed())
				report.Up(report.Link(&current.Interface{Name: "eth0", Mac: "02:00:00:00:0a:99", Mtu: 1500}, "macvlan"))
			})).To(MatchError("eth0: type is veth, expected macvlan; " +
				"eth0: mac is " + mac + ", expected 02:00:00:00:0a:99; " +
				"eth0: mtu is 1400, expected 1500; " +
				"eth0: the interface is down"))
		})

		It("differs from a MAC address that is none", func() {
			Expect(reported(func(report *check.Report) {
				report.Link(&current.Interface{Name: "eth0", Mac: "nonsense"}, "")
			})).To(MatchError(ContainSubstring("nonsense")))
		})

		It("is gone", func() {
			Expect(reported(func(report *check.Report) {
				Expect(report.Link(&current.Interface{Name: "eth9"}, "veth")).To(BeNil())
			})).To(MatchError("eth9: the interface is gone"))
		})
	})

	Describe("Addresses", func() {
		addresses := func(index int, list ...*current.IPConfig) error {
			GinkgoHelper()
			return reported(func(report *check.Report) { report.Addresses(find("eth0"), index, list) })
		}

		It("agree", func() {
			testutils.Inside(netns, func() {
				addAddress("eth0", "10.5.5.5/32")
				addAddress("eth0", "2001:db8:5::5/128")
			})
			Expect(addresses(0, ip("10.1.2.3/24"), ip("2001:db8::3/64"), ip("10.5.5.5/32"), ip("2001:db8:5::5/128"))).To(Succeed())
			Expect(addresses(0)).To(Succeed())
		})

		It("are all named when they are missing", func() {
			Expect(addresses(0, ip("10.1.2.3/25"), ip("10.1.2.3/24"), ip("10.5.5.5/32"), ip("2001:db8::4/64"), ip("2001:db8:5::5/128"))).
				To(MatchError("eth0: the address 10.1.2.3/25 is missing; eth0: the address 10.5.5.5/32 is missing; " +
					"eth0: the address 2001:db8::4/64 is missing; eth0: the address 2001:db8:5::5/128 is missing"))
		})

		It("are of no use when somebody else has them", func() {
			testutils.Inside(netns, func() {
				addAddress("peer", "2001:db8::6/64")
				detected, err := netlink.ParseAddr("2001:db8::6/64")
				Expect(err).NotTo(HaveOccurred())
				Expect(netlink.AddrAdd(find("eth0"), detected)).To(Succeed())
			})
			Eventually(func() error { return addresses(0, ip("2001:db8::6/64")) }, "10s", "50ms").
				Should(MatchError("eth0: the address 2001:db8::6/64 is in use by somebody else: duplicate address detection failed"))
		})

		It("belong to an interface, or to all", func() {
			first, second := ip("10.1.2.3/24"), ip("10.1.2.4/24")
			first.Interface, second.Interface = current.Int(0), current.Int(1)
			Expect(addresses(0, first, second)).To(Succeed())
			Expect(addresses(1, first, second)).To(MatchError(ContainSubstring("10.1.2.4/24")))
			Expect(addresses(2, first, second, ip("10.1.2.5/24"))).To(MatchError("eth0: the address 10.1.2.5/24 is missing"))
		})
	})

	Describe("Subnets", func() {
		subnets := func(list ...*current.IPConfig) error {
			GinkgoHelper()
			return reported(func(report *check.Report) { report.Subnets(find("eth0"), report.Addresses(find("eth0"), 0, list)) })
		}
		remove := func(subnet string) {
			GinkgoHelper()
			Expect(netlink.RouteDel(&netlink.Route{LinkIndex: find("eth0").Attrs().Index, Dst: network(subnet), Scope: netlink.SCOPE_NOWHERE})).To(Succeed())
		}

		It("have a route each, in whatever table, if the kernel makes one", func() {
			testutils.Inside(netns, func() {
				addAddress("eth0", "10.5.5.5/32")
				addAddress("eth0", "2001:db8:5::5/128")
				address, err := netlink.ParseAddr("10.6.6.6/24")
				Expect(err).NotTo(HaveOccurred())
				address.Flags = unix.IFA_F_NOPREFIXROUTE
				Expect(netlink.AddrAdd(find("eth0"), address)).To(Succeed())
				remove("10.1.2.0/24")
				addRoute(netlink.Route{Dst: network("10.1.2.0/24"), Scope: netlink.SCOPE_LINK, Table: 77})
			})
			Expect(subnets(ip("10.1.2.3/24"), ip("2001:db8::3/64"), ip("10.5.5.5/32"), ip("2001:db8:5::5/128"), ip("10.6.6.6/24"))).To(Succeed())
		})

		It("are all named when their routes are missing, or lead through another link", func() {
			testutils.Inside(netns, func() {
				addAddress("peer", "10.1.2.4/24")
				remove("10.1.2.0/24")
				remove("2001:db8::/64")
			})
			Expect(subnets(ip("10.1.2.3/24"), ip("2001:db8::3/64"))).
				To(MatchError("the route to 10.1.2.0/24 through eth0 is missing; the route to 2001:db8::/64 through eth0 is missing"))
		})
	})

	Describe("Routes", func() {
		routes := func(list ...*types.Route) error {
			GinkgoHelper()
			return reported(func(report *check.Report) { report.Routes(list) })
		}

		BeforeEach(func() {
			testutils.Inside(netns, func() {
				addRoute(netlink.Route{Dst: network("0.0.0.0/0"), Gw: net.ParseIP("10.1.2.1")})
				addRoute(netlink.Route{Dst: network("::/0"), Gw: net.ParseIP("2001:db8::1")})
				addRoute(netlink.Route{Dst: network("10.9.0.0/16"), Gw: net.ParseIP("10.1.2.9"), Table: 77, Priority: 42, MTU: 1300, AdvMSS: 1200})
				addRoute(netlink.Route{Dst: network("2001:db8:9::/48"), Gw: net.ParseIP("2001:db8::9"), Table: 78, Priority: 43, MTU: 1310, AdvMSS: 1210})
				addRoute(netlink.Route{Dst: network("10.7.0.0/16"), Scope: netlink.SCOPE_LINK})
				index := find("eth0").Attrs().Index
				addRoute(netlink.Route{Dst: network("10.8.0.0/16"), MultiPath: []*netlink.NexthopInfo{
					{LinkIndex: index, Gw: net.ParseIP("10.1.2.1")}, {LinkIndex: index, Gw: net.ParseIP("10.1.2.2")},
				}})
				addRoute(netlink.Route{Dst: network("2001:db8:8::/48"), MultiPath: []*netlink.NexthopInfo{
					{LinkIndex: index, Gw: net.ParseIP("2001:db8::1")}, {LinkIndex: index, Gw: net.ParseIP("2001:db8::2")},
				}})
				Expect(netlink.RouteAdd(&netlink.Route{Dst: network("10.6.0.0/16"), Type: unix.RTN_UNREACHABLE})).To(Succeed())
			})
		})

		DescribeTable("agree",
			func(route *types.Route) { Expect(routes(route)).To(Succeed()) },
			Entry("IPv4 default route", &types.Route{Dst: *network("0.0.0.0/0")}),
			Entry("IPv4 default route with its gateway", &types.Route{Dst: *network("0.0.0.0/0"), GW: net.ParseIP("10.1.2.1")}),
			Entry("IPv6 default route", &types.Route{Dst: *network("::/0")}),
			Entry("IPv6 default route with its gateway", &types.Route{Dst: *network("::/0"), GW: net.ParseIP("2001:db8::1")}),
			Entry("in another table without saying so", &types.Route{Dst: *network("10.9.0.0/16")}),
			Entry("IPv6 in another table without saying so", &types.Route{Dst: *network("2001:db8:9::/48")}),
			Entry("everything said", &types.Route{Dst: *network("10.9.0.0/16"), GW: net.ParseIP("10.1.2.9"), Table: pointer(77), Priority: 42, MTU: 1300, AdvMSS: 1200, Scope: pointer(0)}),
			Entry("IPv6 with everything said", &types.Route{Dst: *network("2001:db8:9::/48"), GW: net.ParseIP("2001:db8::9"), Table: pointer(78), Priority: 43, MTU: 1310, AdvMSS: 1210, Scope: pointer(253)}),
			Entry("main table by number", &types.Route{Dst: *network("10.7.0.0/16"), Table: pointer(unix.RT_TABLE_MAIN)}),
			Entry("main table by its absence", &types.Route{Dst: *network("10.7.0.0/16"), Table: pointer(unix.RT_TABLE_UNSPEC)}),
			Entry("scope", &types.Route{Dst: *network("10.7.0.0/16"), Scope: pointer(int(netlink.SCOPE_LINK))}),
			Entry("on the link", &types.Route{Dst: *network("10.7.0.0/16"), GW: net.IPv4zero, Scope: pointer(int(netlink.SCOPE_LINK))}),
			Entry("first gateway of several", &types.Route{Dst: *network("10.8.0.0/16"), GW: net.ParseIP("10.1.2.1")}),
			Entry("last gateway of several", &types.Route{Dst: *network("10.8.0.0/16"), GW: net.ParseIP("10.1.2.2")}),
			Entry("last IPv6 gateway of several", &types.Route{Dst: *network("2001:db8:8::/48"), GW: net.ParseIP("2001:db8::2")}),
			Entry("destination with host bits", &types.Route{Dst: *network("10.7.3.3/16")}),
		)

		It("lead through the only link there is, if they have no gateway", func() {
			gatewayOf := func(route *types.Route) net.IP { return route.GW }
			through := func(name string, list ...*types.Route) error {
				GinkgoHelper()
				return reported(func(report *check.Report) { report.RoutesThrough(find(name), list, gatewayOf) })
			}
			either, via := &types.Route{Dst: *network("::/0")}, &types.Route{Dst: *network("0.0.0.0/0"), GW: net.ParseIP("10.1.2.1")}
			Expect(through("eth0", either, via)).To(Succeed())
			Expect(through("peer", either, via)).To(MatchError("the route ::/0 is missing"))
			gatewayOf = func(*types.Route) net.IP { return net.ParseIP("2001:db8::1") }
			Expect(through("eth0", either)).To(Succeed())
			Expect(through("peer", either)).To(MatchError("the route ::/0 via 2001:db8::1 is missing"), "as that of another attachment would be")
			gatewayOf = func(*types.Route) net.IP { return net.ParseIP("2001:db8::2") }
			Expect(through("eth0", either)).To(MatchError("the route ::/0 via 2001:db8::2 is missing"))
		})

		DescribeTable("differ",
			func(route *types.Route, description string) {
				Expect(routes(route)).To(MatchError("the route " + description + " is missing"))
			},
			Entry("in the destination", &types.Route{Dst: *network("10.10.0.0/16")}, "10.10.0.0/16"),
			Entry("in the prefix length", &types.Route{Dst: *network("10.7.0.0/17")}, "10.7.0.0/17"),
			Entry("in the gateway", &types.Route{Dst: *network("0.0.0.0/0"), GW: net.ParseIP("10.1.2.9")}, "0.0.0.0/0 via 10.1.2.9"),
			Entry("in the IPv6 gateway", &types.Route{Dst: *network("::/0"), GW: net.ParseIP("2001:db8::9")}, "::/0 via 2001:db8::9"),
			Entry("in all gateways", &types.Route{Dst: *network("10.8.0.0/16"), GW: net.ParseIP("10.1.2.3")}, "10.8.0.0/16 via 10.1.2.3"),
			Entry("in all IPv6 gateways", &types.Route{Dst: *network("2001:db8:8::/48"), GW: net.ParseIP("2001:db8::3")}, "2001:db8:8::/48 via 2001:db8::3"),
			Entry("in the table", &types.Route{Dst: *network("10.9.0.0/16"), Table: pointer(78)}, "10.9.0.0/16 table 78"),
			Entry("being in no main table", &types.Route{Dst: *network("10.9.0.0/16"), Table: pointer(unix.RT_TABLE_MAIN)}, "10.9.0.0/16 table 254"),
			Entry("in the priority", &types.Route{Dst: *network("10.9.0.0/16"), Priority: 41}, "10.9.0.0/16 metric 41"),
			Entry("in the MTU", &types.Route{Dst: *network("10.9.0.0/16"), MTU: 1500}, "10.9.0.0/16 mtu 1500"),
			Entry("in the advertised MSS", &types.Route{Dst: *network("2001:db8:9::/48"), AdvMSS: 1400}, "2001:db8:9::/48 advmss 1400"),
			Entry("in the scope", &types.Route{Dst: *network("10.7.0.0/16"), Scope: pointer(0)}, "10.7.0.0/16 scope 0"),
			Entry("being unreachable", &types.Route{Dst: *network("10.6.0.0/16")}, "10.6.0.0/16"),
			Entry("leading to this host", &types.Route{Dst: *network("10.1.2.3/32")}, "10.1.2.3/32"),
		)

		It("agree where the kernel has made an MTU and an MSS the largest that it knows", func() {
			testutils.Inside(netns, func() {
				addRoute(netlink.Route{Dst: network("10.5.0.0/16"), Gw: net.ParseIP("10.1.2.1"), MTU: 70000, AdvMSS: 70000})
				addRoute(netlink.Route{Dst: network("2001:db8:5::/48"), Gw: net.ParseIP("2001:db8::1"), MTU: 70000, AdvMSS: 70000})
			})
			Expect(routes(
				&types.Route{Dst: *network("10.5.0.0/16"), MTU: 70000, AdvMSS: 70000},
				&types.Route{Dst: *network("2001:db8:5::/48"), MTU: 65521, AdvMSS: 65496},
			)).To(Succeed())
			Expect(routes(&types.Route{Dst: *network("10.5.0.0/16"), MTU: 65519})).To(MatchError(ContainSubstring("mtu 65519 is missing")))
		})

		It("agree where they differ in MTU or MSS alone, of which the first are added", func() {
			first := &types.Route{Dst: *network("10.9.0.0/16"), MTU: 1300}
			Expect(routes(first, &types.Route{Dst: *network("10.9.0.0/16"), GW: net.ParseIP("10.1.2.9"), MTU: 1400, AdvMSS: 1300})).To(Succeed())
			for _, other := range []*types.Route{
				{Dst: *network("10.7.0.0/16"), MTU: 1300},
				{Dst: *network("10.9.0.0/16"), MTU: 1400, Priority: 7},
				{Dst: *network("10.9.0.0/16"), MTU: 1400, Table: pointer(78)},
				{Dst: *network("10.9.0.0/16"), MTU: 1400, Scope: pointer(253)},
				{Dst: *network("10.9.0.0/16"), MTU: 1400, GW: net.ParseIP("10.1.2.8")},
			} {
				Expect(routes(first, other)).To(MatchError(ContainSubstring("is missing")), other.String())
			}
		})

		It("are all named when they are missing", func() {
			Expect(routes(
				&types.Route{Dst: *network("10.10.0.0/16")},
				&types.Route{Dst: *network("10.9.0.0/16")},
				&types.Route{Dst: *network("2001:db8:10::1/128"), GW: net.ParseIP("2001:db8::1")},
			)).To(MatchError("the route 10.10.0.0/16 is missing; the route 2001:db8:10::1/128 via 2001:db8::1 is missing"))
		})

		It("need no default route of the other family", func() {
			testutils.Inside(netns, func() {
				Expect(netlink.RouteDel(&netlink.Route{Dst: network("::/0"), Gw: net.ParseIP("2001:db8::1")})).To(Succeed())
			})
			Expect(routes(&types.Route{Dst: *network("0.0.0.0/0")})).To(Succeed())
			Expect(routes(&types.Route{Dst: *network("::/0")})).To(MatchError("the route ::/0 is missing"))
		})

		It("are none", func() { Expect(routes()).To(Succeed()) })
	})

	Describe("RouteThrough", func() {
		through := func(name, dst string) error {
			GinkgoHelper()
			return reported(func(report *check.Report) { report.RouteThrough(find(name), *network(dst)) })
		}

		BeforeEach(func() {
			testutils.Inside(netns, func() {
				addAddress("peer", "2001:db8:1::1/64")
				addRoute(netlink.Route{Dst: network("10.9.0.1/32"), Table: 77})
				addRoute(netlink.Route{Dst: network("2001:db8:9::1/128")})
				addRoute(netlink.Route{Dst: network("2001:db8:8::/48"), MultiPath: []*netlink.NexthopInfo{
					{LinkIndex: find("peer").Attrs().Index, Gw: net.ParseIP("2001:db8:1::2")},
					{LinkIndex: find("eth0").Attrs().Index, Gw: net.ParseIP("2001:db8::2")},
				}})
			})
		})

		It("agrees", func() {
			for _, dst := range []string{"10.9.0.1/32", "2001:db8:9::1/128", "10.1.2.0/24", "2001:db8:8::/48"} {
				Expect(through("eth0", dst)).To(Succeed(), dst)
			}
			Expect(through("peer", "2001:db8:8::/48")).To(Succeed())
		})

		It("differs", func() {
			Expect(through("peer", "10.9.0.1/32")).To(MatchError("the route to 10.9.0.1/32 through peer is missing"))
			Expect(through("eth0", "10.9.0.2/32")).To(MatchError("the route to 10.9.0.2/32 through eth0 is missing"))
			Expect(through("eth0", "10.1.2.3/32")).To(MatchError("the route to 10.1.2.3/32 through eth0 is missing")) // it is local
		})
	})

	Describe("Forwarding", func() {
		DescribeTable("of a family",
			func(family net.IP, path string) {
				examine := func(report *check.Report) { report.Forwarding(family) }
				testutils.Inside(netns, func() { Expect(os.WriteFile("/proc/sys/"+path, []byte("0"), 0)).To(Succeed()) })
				Expect(reported(examine)).To(MatchError(path + ": forwarding is off, expected 1"))
				testutils.Inside(netns, func() { Expect(os.WriteFile("/proc/sys/"+path, []byte("1"), 0)).To(Succeed()) })
				Expect(reported(examine)).To(Succeed())
			},
			Entry("IPv4", net.IPv4(10, 0, 0, 1), "net/ipv4/ip_forward"),
			Entry("IPv6", net.ParseIP("2001:db8::1"), "net/ipv6/conf/all/forwarding"),
		)
	})
})

func find(name string) netlink.Link {
	GinkgoHelper()
	l, err := link.Find(name)
	Expect(err).NotTo(HaveOccurred())
	return l
}

func addAddress(name, text string) {
	GinkgoHelper()
	Expect(link.AddAddress(find(name), network(text), true)).To(Succeed())
}

func ip(text string) *current.IPConfig { return &current.IPConfig{Address: *network(text)} }

// network returns an address with its prefix length, host bits included.
func network(text string) *net.IPNet {
	addr, parsed, err := net.ParseCIDR(text)
	if err != nil {
		panic(err)
	}
	return &net.IPNet{IP: addr, Mask: parsed.Mask}
}

func pointer[T any](value T) *T { return &value }
