// SPDX-License-Identifier: Apache-2.0

package ipam_test

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("ConfigureIface", func() {
	var netns ns.NetNS

	// eth0 is one end of a veth pair whose other end, peer, is up.
	BeforeEach(func() {
		netns = testutils.TempNS(GinkgoT())
		testutils.Inside(netns, func() {
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer"})).To(Succeed())
			Expect(netlink.LinkSetUp(find("peer"))).To(Succeed())
		})
	})

	configure := func(result *current.Result) (err error) {
		GinkgoHelper()
		testutils.Inside(netns, func() { err = ipam.ConfigureIface("eth0", result) })
		return err
	}
	// routes returns the routes to dst in all tables.
	routes := func(dst string) (found []netlink.Route) {
		GinkgoHelper()
		network := cidr(dst)
		testutils.Inside(netns, func() {
			var err error
			found, err = netlinksafe.RouteListFiltered(familyOf(network), &netlink.Route{Dst: &network}, netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
			Expect(err).NotTo(HaveOccurred())
		})
		return found
	}
	route := func(dst string) netlink.Route {
		GinkgoHelper()
		found := routes(dst)
		Expect(found).To(HaveLen(1))
		return found[0]
	}
	gateways := func(of []netlink.Route) (texts []string) {
		for _, r := range of {
			if r.Gw != nil {
				texts = append(texts, r.Gw.String())
			}
			for _, hop := range r.MultiPath {
				texts = append(texts, hop.Gw.String())
			}
		}
		return texts
	}
	addresses := func() map[string]netlink.Addr {
		GinkgoHelper()
		found := map[string]netlink.Addr{}
		testutils.Inside(netns, func() {
			list, err := netlinksafe.AddrList(find("eth0"), netlink.FAMILY_ALL)
			Expect(err).NotTo(HaveOccurred())
			for _, addr := range list {
				found[addr.IPNet.String()] = addr
			}
		})
		return found
	}

	Describe("addresses", func() {
		It("are on the interface, which is up", func() {
			Expect(configure(result("10.1.2.3/24", "10.5.5.5/32", "2001:db8::3/64", "2001:db8:5::5/128"))).To(Succeed())
			found := addresses()
			for _, text := range []string{"10.1.2.3/24", "10.5.5.5/32", "2001:db8::3/64", "2001:db8:5::5/128"} {
				Expect(found).To(HaveKey(text))
				Expect(found[text].Scope).To(BeEquivalentTo(netlink.SCOPE_UNIVERSE))
			}
			Expect(found["10.1.2.3/24"].Broadcast.String()).To(Equal("10.1.2.255"))
			testutils.Inside(netns, func() { Expect(find("eth0").Attrs().Flags & net.FlagUp).NotTo(BeZero()) })
			Expect(routes("10.1.2.0/24")).To(HaveLen(1))
		})

		It("of no interface are left out", func() {
			wanted := result("10.1.2.3/24", "10.1.2.4/24")
			wanted.IPs[1].Interface = nil
			wanted.IPs = append(wanted.IPs, nil)
			Expect(configure(wanted)).To(Succeed())
			Expect(addresses()).To(HaveKey("10.1.2.3/24"))
			Expect(addresses()).NotTo(HaveKey("10.1.2.4/24"))
		})

		DescribeTable("of another interface are an error, and nothing is changed",
			func(change func(*current.Result), wanted string) {
				made := result("10.1.2.3/24")
				change(made)
				Expect(configure(made)).To(MatchError(ContainSubstring(wanted)))
				Expect(addresses()).To(BeEmpty())
				testutils.Inside(netns, func() { Expect(find("eth0").Attrs().Flags & net.FlagUp).To(BeZero()) })
			},
			Entry("negative index", func(r *current.Result) { r.IPs[0].Interface = current.Int(-1) }, "ips[0].interface: -1"),
			Entry("index too large", func(r *current.Result) { r.IPs[0].Interface = current.Int(1) }, "ips[0].interface: 1"),
			Entry("another name", func(r *current.Result) { r.Interfaces[0].Name = "eth1" }, "eth1"),
			Entry("a null interface", func(r *current.Result) { r.Interfaces[0] = nil }, "ips[0].interface"),
			Entry("no interfaces", func(r *current.Result) { r.Interfaces = nil }, "no interfaces"),
		)

		It("need their interface", func() {
			testutils.Inside(netns, func() {
				wanted := result("10.1.2.3/24")
				wanted.Interfaces[0].Name = "eth9"
				Expect(ipam.ConfigureIface("eth9", wanted)).To(MatchError(link.ErrNotFound))
			})
		})

		It("that are there already are an error", func() {
			Expect(configure(result("10.1.2.3/24"))).To(Succeed())
			Expect(configure(result("10.1.2.3/24"))).To(And(MatchError(unix.EEXIST), MatchError(ContainSubstring("10.1.2.3/24"))))
		})

		It("that are none are an error", func() {
			wanted := result("10.1.2.3/24")
			wanted.IPs[0].Address = net.IPNet{}
			Expect(configure(wanted)).To(HaveOccurred())
		})
	})

	Describe("IPv6", func() {
		const disabled = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6"

		BeforeEach(func() { testutils.Need(GinkgoT(), "ipv6") })

		It("is switched on, on lo too", func() {
			testutils.Inside(netns, func() {
				for _, iface := range []string{"lo", "eth0"} {
					Expect(os.WriteFile("/proc/sys/net/ipv6/conf/"+iface+"/disable_ipv6", []byte("1"), 0)).To(Succeed())
				}
			})
			Expect(configure(result("2001:db8::3/64"))).To(Succeed())
			Expect(addresses()).To(HaveKey("2001:db8::3/64"))
			testutils.Inside(netns, func() {
				for _, iface := range []string{"lo", "eth0"} {
					Expect(os.ReadFile("/proc/sys/net/ipv6/conf/" + iface + "/disable_ipv6")).To(BeEquivalentTo("0\n"))
				}
			})
		})

		It("is not touched for IPv4 alone", func() {
			testutils.Inside(netns, func() { Expect(os.WriteFile(disabled, []byte("1"), 0)).To(Succeed()) })
			Expect(configure(result("10.1.2.3/24"))).To(Succeed())
			testutils.Inside(netns, func() {
				Expect(os.ReadFile(disabled)).To(BeEquivalentTo("1\n"))
				Expect(os.ReadFile("/proc/sys/net/ipv6/conf/eth0/keep_addr_on_down")).To(BeEquivalentTo("0\n"))
			})
		})

		It("addresses survive the interface being down", func() {
			Expect(configure(result("2001:db8::3/64"))).To(Succeed())
			testutils.Inside(netns, func() {
				Expect(netlink.LinkSetDown(find("eth0"))).To(Succeed())
				Expect(netlink.LinkSetUp(find("eth0"))).To(Succeed())
			})
			Expect(addresses()).To(HaveKey("2001:db8::3/64"))
		})

		It("with a gateway is usable when it is configured", func() {
			wanted := withGateway(result("2001:db8::3/64"), "2001:db8::1")
			wanted.Routes = []*types.Route{{Dst: cidr("::/0")}}
			Expect(configure(wanted)).To(Succeed())
			Expect(addresses()["2001:db8::3/64"].Flags & unix.IFA_F_TENTATIVE).To(BeZero())
			Expect(route("::/0").Gw.String()).To(Equal("2001:db8::1"))
		})

		It("with a gateway does not wait without carrier", func() {
			testutils.Inside(netns, func() { Expect(netlink.LinkSetDown(find("peer"))).To(Succeed()) })
			wanted := withGateway(result("2001:db8::3/64"), "2001:db8::1")
			wanted.Routes = []*types.Route{{Dst: cidr("::/0")}}
			begin := time.Now()
			Expect(configure(wanted)).To(Succeed())
			Expect(time.Since(begin)).To(BeNumerically("<", 900*time.Millisecond))
			Expect(route("::/0").Gw.String()).To(Equal("2001:db8::1"))
		})

		It("that somebody else uses is an error", func() {
			testutils.Inside(netns, func() {
				Expect(link.AddAddress(find("peer"), pointer(cidr("2001:db8::3/64")), true)).To(Succeed())
			})
			Expect(configure(withGateway(result("2001:db8::3/64"), "2001:db8::1"))).To(MatchError(ContainSubstring("2001:db8::3")))
		})
	})

	Describe("without duplicate address detection", func() {
		It("marks IPv6 addresses and does not wait", func() {
			testutils.Need(GinkgoT(), "ipv6")
			wanted := withGateway(result("2001:db8::3/64", "10.1.2.3/24"), "2001:db8::1", "10.1.2.1")
			wanted.Routes = []*types.Route{{Dst: cidr("::/0")}, {Dst: cidr("0.0.0.0/0")}}
			begin := time.Now()
			testutils.Inside(netns, func() {
				Expect(ipam.ConfigureIfaceWithOptions(context.Background(), "eth0", wanted, ipam.Options{NoDAD: true})).To(Succeed())
			})
			Expect(time.Since(begin)).To(BeNumerically("<", 900*time.Millisecond))
			flags := addresses()["2001:db8::3/64"].Flags
			Expect(flags & unix.IFA_F_NODAD).NotTo(BeZero())
			Expect(flags & unix.IFA_F_TENTATIVE).To(BeZero())
			Expect(route("::/0").Gw.String()).To(Equal("2001:db8::1"))
			Expect(route("0.0.0.0/0").Gw.String()).To(Equal("10.1.2.1"))
		})
	})

	Describe("BeforeRoutes", func() {
		wanted := func() *current.Result {
			made := result("10.1.2.3/24")
			made.Routes = []*types.Route{{Dst: cidr("10.9.0.0/16")}}
			return made
		}

		It("runs between addresses and routes", func() {
			ran := false
			options := ipam.Options{BeforeRoutes: func() error {
				ran = true
				Expect(addresses()).To(HaveKey("10.1.2.3/24"))
				Expect(routes("10.9.0.0/16")).To(BeEmpty())
				Expect(find("eth0").Attrs().Flags & net.FlagUp).NotTo(BeZero())
				return nil
			}}
			testutils.Inside(netns, func() {
				Expect(ipam.ConfigureIfaceWithOptions(context.Background(), "eth0", wanted(), options)).To(Succeed())
			})
			Expect(ran).To(BeTrue())
			Expect(routes("10.9.0.0/16")).To(HaveLen(1))
		})

		It("stops everything when it fails", func() {
			no := errors.New("no")
			testutils.Inside(netns, func() {
				options := ipam.Options{BeforeRoutes: func() error { return no }}
				Expect(ipam.ConfigureIfaceWithOptions(context.Background(), "eth0", wanted(), options)).To(MatchError(no))
			})
			Expect(routes("10.9.0.0/16")).To(BeEmpty())
		})
	})

	Describe("routes", func() {
		var wanted *current.Result

		BeforeEach(func() {
			wanted = withGateway(result("10.1.2.3/24", "2001:db8::3/64"), "10.1.2.1", "2001:db8::1")
		})

		// Without duplicate address detection these specs are quick.
		add := func(list ...*types.Route) error {
			wanted.Routes = list
			testutils.Inside(netns, func() {
				Expect(os.WriteFile("/proc/sys/net/ipv6/conf/eth0/accept_dad", []byte("0"), 0)).To(Succeed())
			})
			return configure(wanted)
		}

		It("have everything the result says", func() {
			Expect(add(
				&types.Route{Dst: cidr("10.9.0.0/16"), GW: net.ParseIP("10.1.2.9"), MTU: 1400, AdvMSS: 1300, Priority: 42, Table: pointer(77)},
				&types.Route{Dst: cidr("2001:db8:9::/48"), GW: net.ParseIP("2001:db8::9"), MTU: 1410, AdvMSS: 1310, Priority: 43, Table: pointer(78)},
				&types.Route{Dst: cidr("10.8.0.0/16"), Scope: pointer(int(netlink.SCOPE_LINK))},
			)).To(Succeed())
			v4, v6 := route("10.9.0.0/16"), route("2001:db8:9::/48")
			Expect([]any{v4.Gw.String(), v4.MTU, v4.AdvMSS, v4.Priority, v4.Table}).To(Equal([]any{"10.1.2.9", 1400, 1300, 42, 77}))
			Expect([]any{v6.Gw.String(), v6.MTU, v6.AdvMSS, v6.Priority, v6.Table}).To(Equal([]any{"2001:db8::9", 1410, 1310, 43, 78}))
			Expect(route("10.8.0.0/16").Scope).To(Equal(netlink.SCOPE_LINK))
			testutils.Inside(netns, func() { Expect(v4.LinkIndex).To(Equal(find("eth0").Attrs().Index)) })
		})

		It("go through the gateway of an address of their family, in every table", func() {
			Expect(add(
				&types.Route{Dst: cidr("0.0.0.0/0")},
				&types.Route{Dst: cidr("::/0")},
				&types.Route{Dst: cidr("10.9.0.0/16"), Table: pointer(77)},
			)).To(Succeed())
			Expect(route("0.0.0.0/0").Gw.String()).To(Equal("10.1.2.1"))
			Expect(route("::/0").Gw.String()).To(Equal("2001:db8::1"))
			Expect(route("10.9.0.0/16").Gw.String()).To(Equal("10.1.2.1"))
		})

		It("go through the first of several such gateways", func() {
			wanted = withGateway(result("10.1.2.3/24", "10.1.3.3/24"), "10.1.2.1", "10.1.3.1")
			Expect(add(&types.Route{Dst: cidr("0.0.0.0/0")})).To(Succeed())
			Expect(route("0.0.0.0/0").Gw.String()).To(Equal("10.1.2.1"))
		})

		It("go over the link when there is no gateway", func() {
			wanted = withGateway(result("10.1.2.3/24", "2001:db8::3/64"), "10.1.2.1")
			Expect(add(&types.Route{Dst: cidr("2001:db8:9::/48")})).To(Succeed())
			Expect(route("2001:db8:9::/48").Gw).To(BeNil())
		})

		DescribeTable("of a smaller scope have no gateway",
			func(scope netlink.Scope) {
				Expect(add(&types.Route{Dst: cidr("10.9.0.1/32"), Scope: pointer(int(scope))})).To(Succeed())
				Expect(route("10.9.0.1/32").Gw).To(BeNil())
				Expect(route("10.9.0.1/32").Scope).To(Equal(scope))
			},
			Entry("link", netlink.SCOPE_LINK),
			Entry("host", netlink.SCOPE_HOST),
		)

		It("may be null", func() {
			Expect(add(nil, &types.Route{Dst: cidr("10.9.0.0/16")}, nil)).To(Succeed())
			Expect(routes("10.9.0.0/16")).To(HaveLen(1))
		})

		It("may be given twice", func() {
			Expect(add(
				&types.Route{Dst: cidr("10.9.0.0/16"), GW: net.ParseIP("10.1.2.1")},
				&types.Route{Dst: cidr("10.9.0.0/16"), GW: net.ParseIP("10.1.2.1").To4()},
				&types.Route{Dst: cidr("10.9.0.0/16")}, // inherits that gateway
				&types.Route{Dst: cidr("2001:db8:9::/48")},
				&types.Route{Dst: cidr("2001:db8:9::/48")},
			)).To(Succeed())
			Expect(gateways(routes("10.9.0.0/16"))).To(Equal([]string{"10.1.2.1"}))
			Expect(gateways(routes("2001:db8:9::/48"))).To(Equal([]string{"2001:db8::1"}))
		})

		It("in the main table are the same whether they name it or not", func() {
			Expect(add(
				&types.Route{Dst: cidr("10.9.0.0/16")},
				&types.Route{Dst: cidr("10.9.0.0/16"), Table: pointer(unix.RT_TABLE_MAIN)},
				&types.Route{Dst: cidr("2001:db8:9::/48"), Table: pointer(unix.RT_TABLE_MAIN)},
				&types.Route{Dst: cidr("2001:db8:9::/48"), Scope: pointer(0)},
			)).To(Succeed())
			Expect(routes("10.9.0.0/16")).To(HaveLen(1))
			Expect(routes("2001:db8:9::/48")).To(HaveLen(1))
		})

		It("may have two gateways", func() {
			Expect(add(
				&types.Route{Dst: cidr("10.9.0.0/16"), GW: net.ParseIP("10.1.2.1")},
				&types.Route{Dst: cidr("10.9.0.0/16"), GW: net.ParseIP("10.1.2.2")},
				&types.Route{Dst: cidr("2001:db8:9::/48"), GW: net.ParseIP("2001:db8::1")},
				&types.Route{Dst: cidr("2001:db8:9::/48"), GW: net.ParseIP("2001:db8::2")},
			)).To(Succeed())
			Expect(gateways(routes("10.9.0.0/16"))).To(ConsistOf("10.1.2.1", "10.1.2.2"))
			Expect(gateways(routes("2001:db8:9::/48"))).To(ConsistOf("2001:db8::1", "2001:db8::2"))
		})

		It("may differ in their priority or table alone", func() {
			Expect(add(
				&types.Route{Dst: cidr("10.9.0.0/16"), Priority: 10},
				&types.Route{Dst: cidr("10.9.0.0/16"), Priority: 20},
				&types.Route{Dst: cidr("10.9.0.0/16"), Table: pointer(77)},
				&types.Route{Dst: cidr("2001:db8:9::/48"), Priority: 10},
				&types.Route{Dst: cidr("2001:db8:9::/48"), Priority: 20},
			)).To(Succeed())
			Expect(routes("10.9.0.0/16")).To(HaveLen(3))
			Expect(routes("2001:db8:9::/48")).To(HaveLen(2))
		})

		It("may have host bits in their destination", func() {
			host := net.IPNet{IP: net.IPv4(172, 16, 5, 5), Mask: net.CIDRMask(16, 32)}
			Expect(add(&types.Route{Dst: host})).To(Succeed())
			Expect(routes("172.16.0.0/16")).To(HaveLen(1))
		})

		It("may have IPv4 destinations in the form of IPv6", func() {
			Expect(add(&types.Route{Dst: net.IPNet{IP: net.ParseIP("::ffff:172.17.5.0"), Mask: net.CIDRMask(112, 128)}})).To(Succeed())
			Expect(routes("172.17.0.0/16")).To(HaveLen(1))
		})

		// many are as many as do not fit into one socket buffer.
		many := func(gw net.IP) (routes []*types.Route) {
			for i := range 3000 {
				routes = append(routes, &types.Route{Dst: net.IPNet{IP: net.IPv4(172, 20, byte(i/256), byte(i)), Mask: net.CIDRMask(32, 32)}, GW: gw})
			}
			return routes
		}

		It("may be thousands", func() {
			Expect(add(many(nil)...)).To(Succeed())
			Expect(routes("172.20.11.183/32")).To(HaveLen(1))
		})

		It("are named, the first of thousands that the kernel refuses", func() {
			err := add(many(net.ParseIP("192.0.2.1"))...)
			Expect(err).To(And(MatchError(unix.ENETUNREACH), MatchError(ContainSubstring("172.20.0.0/32 via 192.0.2.1"))))
		})

		It("that the kernel refuses are named", func() {
			err := add(&types.Route{Dst: cidr("10.9.0.0/16"), GW: net.ParseIP("192.0.2.1"), Table: pointer(77)})
			Expect(err).To(And(MatchError(unix.ENETUNREACH), MatchError(ContainSubstring("10.9.0.0/16 via 192.0.2.1 table 77"))))
		})

		DescribeTable("with a value that no route can have are an error, and nothing is changed",
			func(change func(*types.Route), message string) {
				bad := &types.Route{Dst: cidr("10.9.0.0/16")}
				change(bad)
				Expect(add(nil, bad)).To(MatchError(message))
				Expect(addresses()).To(BeEmpty())
			},
			Entry("scope", func(r *types.Route) { r.Scope = pointer(300) }, "routes[1].scope: 300 is outside 0-255"),
			Entry("negative scope", func(r *types.Route) { r.Scope = pointer(-1) }, "routes[1].scope: -1 is outside 0-255"),
			Entry("table", func(r *types.Route) { r.Table = pointer(-7) }, "routes[1].table: -7 is outside 0-4294967295"),
			Entry("priority", func(r *types.Route) { r.Priority = -1 }, "routes[1].priority: -1 is outside 0-4294967295"),
			Entry("mtu", func(r *types.Route) { r.MTU = -1 }, "routes[1].mtu: -1 is outside 0-4294967295"),
			Entry("gateway", func(r *types.Route) { r.GW = net.ParseIP("fd00::1") }, "routes[1].gw: fd00::1 is not of the family of 10.9.0.0/16"),
			Entry("IPv4 gateway", func(r *types.Route) { r.Dst, r.GW = cidr("fd01::/64"), net.IPv4(10, 1, 2, 1) }, "routes[1].gw: 10.1.2.1 is not of the family of fd01::/64"),
			Entry("advmss", func(r *types.Route) { r.AdvMSS = -1 }, "routes[1].advmss: -1 is outside 0-4294967295"),
		)

		It("with a gateway alone lead everywhere", func() {
			Expect(add(&types.Route{GW: net.ParseIP("10.1.2.9")}, &types.Route{GW: net.ParseIP("2001:db8::9")})).To(Succeed())
			Expect(route("0.0.0.0/0").Gw.String()).To(Equal("10.1.2.9"))
			Expect(route("::/0").Gw.String()).To(Equal("2001:db8::9"))
		})

		It("are all in the error that is about such values, with its code", func() {
			err := add(&types.Route{Dst: cidr("10.9.0.0/16"), MTU: -1}, &types.Route{Dst: cidr("10.9.0.0/16"), Scope: pointer(300)})
			Expect(err).To(MatchError("routes[0].mtu: -1 is outside 0-4294967295; routes[1].scope: 300 is outside 0-255"))
			var coded *types.Error
			Expect(errors.As(err, &coded)).To(BeTrue())
			Expect(coded.Code).To(Equal(types.ErrInvalidNetworkConfig))
		})

		It("without a destination are an error", func() {
			Expect(add(nil, &types.Route{})).To(MatchError(ContainSubstring("routes[1].dst")))
		})
	})
})

// result returns a result with the given addresses for eth0.
func result(addresses ...string) *current.Result {
	GinkgoHelper()
	made := &current.Result{CNIVersion: "1.1.0", Interfaces: []*current.Interface{{Name: "eth0"}}}
	for _, text := range addresses {
		addr, network, err := net.ParseCIDR(text)
		Expect(err).NotTo(HaveOccurred())
		made.IPs = append(made.IPs, &current.IPConfig{
			Interface: current.Int(0),
			Address:   net.IPNet{IP: addr, Mask: network.Mask},
		})
	}
	return made
}

// withGateway gives the addresses of a result their gateways, in order.
func withGateway(of *current.Result, gateways ...string) *current.Result {
	for i, text := range gateways {
		of.IPs[i].Gateway = net.ParseIP(text)
	}
	return of
}

func find(name string) netlink.Link {
	GinkgoHelper()
	l, err := link.Find(name)
	Expect(err).NotTo(HaveOccurred())
	return l
}

func cidr(text string) net.IPNet {
	GinkgoHelper()
	addr, network, err := net.ParseCIDR(text)
	Expect(err).NotTo(HaveOccurred())
	return net.IPNet{IP: addr, Mask: network.Mask}
}

func familyOf(network net.IPNet) int {
	if network.IP.To4() != nil {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

func pointer[T any](value T) *T { return &value }
