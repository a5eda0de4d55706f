// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ptp

import (
	"fmt"
	"net"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestPtp(t *testing.T) {
	testrig.RunSpecs(t, "plugins/main/ptp")
}

var ipamPath = testrig.BuiltIPAM()

var _ = DescribeTable("a configuration that makes no sense", testrig.Refuses(Plugin),
	Entry("no IPAM", `{"name":"n"}`, "ipam.type: missing"),
	Entry("mtu of another kind", `{"name":"n","mtu":"automatic","ipam":{"type":"static"}}`, `mtu: the string "automatic" where an integer or "auto" is expected`),
	Entry("mtu", `{"name":"n","mtu":70000,"ipam":{"type":"static"}}`, "mtu: 70000 is outside 0-65535"),
	Entry("MAC", `{"name":"n","mac":"x","ipam":{"type":"static"}}`, `mac: "x" is not a MAC address`),
	Entry("backend", `{"name":"n","ipMasq":true,"ipMasqBackend":"x","ipam":{"type":"static"}}`, `ipMasqBackend: "x" is not one of`),
)

func ips(pairs ...string) []*current.IPConfig {
	var list []*current.IPConfig
	for _, pair := range pairs {
		address, gateway, _ := strings.Cut(pair, " via ")
		ip, network, err := net.ParseCIDR(address)
		Expect(err).NotTo(HaveOccurred())
		list = append(list, &current.IPConfig{Address: net.IPNet{IP: ip, Mask: network.Mask}, Gateway: net.ParseIP(gateway)})
	}
	return list
}

func describeRoutes(routes []netlink.Route) []string {
	var list []string
	for _, route := range routes {
		text := route.Dst.String()
		if route.Gw != nil {
			text += " via " + route.Gw.String()
		}
		if route.Src != nil {
			text += " src " + route.Src.String()
		}
		list = append(list, text+" scope "+route.Scope.String())
	}
	return list
}

var _ = Describe("planRoutes", func() {
	It("goes through the gateway, and back by a host route", func() {
		plan, err := planRoutes(ips("192.168.3.5/24 via 192.168.3.1"))
		Expect(err).NotTo(HaveOccurred())
		Expect(describeRoutes(plan.gateways)).To(Equal([]string{"192.168.3.1/32 src 192.168.3.5 scope link"}))
		Expect(describeRoutes(plan.subnets)).To(Equal([]string{"192.168.3.0/24 via 192.168.3.1 src 192.168.3.5 scope universe"}))
		Expect(describeRoutes(plan.host)).To(Equal([]string{"192.168.3.5/32 scope host"}))
		Expect(fmt.Sprint(plan.hostAddrs)).To(Equal("[192.168.3.1/32]"))
	})

	It("has each gateway and subnet once", func() {
		plan, err := planRoutes(ips("10.0.0.5/24 via 10.0.0.1", "10.0.0.6/24 via 10.0.0.1"))
		Expect(err).NotTo(HaveOccurred())
		Expect(plan.gateways).To(HaveLen(1))
		Expect(plan.subnets).To(HaveLen(1))
		Expect(plan.host).To(HaveLen(2))
		Expect(plan.hostAddrs).To(HaveLen(1))
	})

	It("reaches no neighbours of an address that is its whole subnet", func() {
		plan, err := planRoutes(ips("10.0.0.5/32 via 10.0.0.1", "fd00::5/128 via fd00::1"))
		Expect(err).NotTo(HaveOccurred())
		Expect(plan.gateways).To(HaveLen(2))
		Expect(plan.subnets).To(BeEmpty())
		Expect(plan.host).To(HaveLen(2))
	})

	It("needs a gateway", func() {
		_, err := planRoutes(ips("10.0.0.5/24"))
		Expect(err).To(MatchError(ContainSubstring("ips[0]: the IPAM plugin gave 10.0.0.5/24 no gateway")))
	})

	It("needs one that is not the address itself", func() {
		_, err := planRoutes(ips("10.0.0.5/24 via 10.0.0.1", "fd00::1/64 via fd00::1"))
		Expect(err).To(MatchError(ContainSubstring("ips[1].gateway: fd00::1 is the container's own address")))
	})

	It("needs one of the address's family", func() {
		_, err := planRoutes(ips("10.0.0.5/24 via 10.0.0.1", "10.0.0.6/24 via fd00::1"))
		Expect(err).To(MatchError(ContainSubstring("ips[1].gateway: fd00::1 is not of the family of 10.0.0.6/24")))
	})
})

var _ = Describe("packets", func() {
	var rig *testrig.Rig
	var one, two *testrig.Container

	BeforeEach(func() {
		rig = testrig.New(Plugin, ipamPath())
		one, two = rig.Container("one"), rig.Container("two")
	})

	config := func(rest string) string {
		return `{"type":"ptp"` + rest + `,` +
			rig.HostLocal(`,"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]`, "10.1.2.0/24", "fd00:1:2::/64") + `}`
	}

	DescribeTable("reach the host and other containers",
		func(mtu int) {
			c := config(fmt.Sprintf(`,"mtu":%d`, mtu))
			rig.Add(one, c)
			result := rig.Add(two, c)
			Expect(result.Interfaces).To(HaveLen(2))
			Expect(result.Interfaces[containerIndex].Mtu).To(Equal(mtu))
			Expect(rig.Check(two, c, result)).To(Succeed())
			for i, headers := range []int{28, 48} {
				Expect(testrig.ReachWith(one.Netns, rig.Host, result.IPs[i].Gateway.String(), mtu-headers)).To(Succeed())
				Expect(testrig.ReachWith(one.Netns, two.Netns, result.IPs[i].Address.IP.String(), mtu-headers)).To(Succeed())
				Expect(testrig.ReachWith(rig.Host, two.Netns, result.IPs[i].Address.IP.String(), mtu-headers)).To(Succeed())
			}
			rig.Del(one, c)
			rig.Del(two, c)
		},
		Entry("with the usual MTU", 1500), Entry("with a small MTU", 1280), Entry("with jumbo frames", 9000),
	)

	It("have the MTU of the host's way out, if the configuration leaves it to that", func() {
		rig.Outside([]string{"192.0.2.1/24"}, []string{"192.0.2.9/24"})
		testrig.IP(rig.Host, "route add default via 192.0.2.9")
		testrig.IP(rig.Host, "link set uplink mtu 1400")
		c := config(`,"mtu":"auto"`)
		result := rig.Add(one, c)
		Expect(result.Interfaces).To(HaveEach(HaveField("Mtu", 1400)))
		Expect(testrig.ReachWith(one.Netns, rig.Host, result.IPs[0].Gateway.String(), 1400-28)).To(Succeed())
		Expect(rig.Check(one, c, result)).To(Succeed())
	})

	DescribeTable("leave the host as the host's own with ipMasq",
		func(backend string) {
			outside := rig.Outside([]string{"192.0.2.1/24", "2001:db8::1/64"}, []string{"192.0.2.9/24", "2001:db8::9/64"})
			c := config(`,"ipMasq":true` + backend)
			result := rig.Add(one, c)
			Expect(testrig.Reach(one.Netns, outside, "192.0.2.9")).To(Equal("192.0.2.1"))
			Expect(testrig.Reach(one.Netns, outside, "2001:db8::9")).To(Equal("2001:db8::1"))
			Expect(rig.Check(one, c, result)).To(Succeed())
			rig.Del(one, c)
		},
		Entry("by the default backend", ``),
		Entry("by nftables", `,"ipMasqBackend":"nftables"`),
		Entry("by iptables", `,"ipMasqBackend":"iptables"`),
	)

	It("are masqueraded by whichever backend ADD chose, if the configuration names none", func() {
		testutils.Need(GinkgoT(), "nftables", "iptables", "ip6tables")
		result := rig.Add(one, config(`,"ipMasq":true,"ipMasqBackend":"iptables"`))
		Expect(rig.Check(one, config(`,"ipMasq":true`), result)).To(Succeed())
		Expect(rig.Check(one, config(`,"ipMasq":true,"ipMasqBackend":"nftables"`), result)).To(MatchError(ContainSubstring("masquerading: table ip cni_masquerade: ")))
		for _, program := range []string{"iptables", "ip6tables"} {
			Expect(rig.Check(one, config(`,"ipMasq":true`), result)).To(Succeed())
			_, err := testrig.Run(rig.Host, program, "-t", "nat", "-F", "POSTROUTING")
			Expect(err).NotTo(HaveOccurred())
			Expect(rig.Check(one, config(`,"ipMasq":true`), result)).To(MatchError(ContainSubstring("masquerading: table ip cni_masquerade: ")))
			result = rig.Add(two, config(`,"ipMasq":true,"ipMasqBackend":"iptables"`))
			one, two = two, rig.Container("three")
		}
	})

	It("of one interface leave as the host's own when another is deleted again", func() {
		testutils.Need(GinkgoT(), "iptables")
		outside := rig.Outside([]string{"192.0.2.1/24"}, []string{"192.0.2.9/24"})
		c := config(`,"ipMasq":true,"ipMasqBackend":"iptables"`)
		rig.Add(one, c)
		another := *one
		another.IfName = "eth1"
		rig.Del(&another, c)
		Expect(testrig.Reach(one.Netns, outside, "192.0.2.9")).To(Equal("192.0.2.1"))
	})

	DescribeTable("stay with a living container when another is to have its address",
		func(network string) {
			static := func(rest string) string {
				return `{` + rest + `"type":"ptp","ipMasq":true,"ipam":{"type":"static","addresses":[{"address":"10.1.2.2/24","gateway":"10.1.2.1"},{"address":"fd00:1::2/64","gateway":"fd00:1::1"}]}}`
			}
			result := rig.Add(one, static(``))
			two := rig.Container("two")
			expectSame := rig.Remember(two)
			for range 2 {
				_, err := rig.Call("ADD", two, static(network))
				Expect(err).To(MatchError(And(ContainSubstring("is the address of test/one/eth0 behind veth"), ContainSubstring("detach that first"))))
				Expect(testrig.Code(err)).To(Equal(types.ErrTryAgainLater))
				expectSame()
			}
			Expect(rig.Check(one, static(``), result)).To(Succeed())
			Expect(testrig.Reach(rig.Host, one.Netns, "10.1.2.2")).To(Equal("10.1.2.1"))
			rig.Del(two, static(network))
			Expect(rig.Check(one, static(``), result)).To(Succeed())
			rig.Del(one, static(``))
			rig.Add(two, static(network))
			Expect(testrig.Reach(rig.Host, two.Netns, "fd00:1::2")).To(Equal("fd00:1::1"))
		},
		Entry("of the same network", ``), Entry("of another network", `"name":"other",`),
	)

	It("take over a route that a dead container left", func() {
		rig.OnHost(func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "stale"
			Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "stale-peer"})).To(Succeed())
			stale, err := netlink.LinkByName("stale")
			Expect(err).NotTo(HaveOccurred())
			Expect(netlink.LinkSetUp(stale)).To(Succeed())
			_, dst, _ := net.ParseCIDR("10.1.2.2/32")
			Expect(netlink.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: stale.Attrs().Index, Scope: netlink.SCOPE_HOST})).To(Succeed())
		})
		rig.Add(one, config(``))
		Expect(testrig.Reach(rig.Host, one.Netns, "10.1.2.2")).To(Equal("10.1.2.1"))
	})

	DescribeTable("do not take the place of a route of the host's own",
		func(route, described string) {
			testrig.Join(testrig.End{Netns: rig.Host, Name: "lan", Addresses: []string{"192.0.2.1/24", "2001:db8::1/64"}}, testrig.End{Netns: two.Netns, Name: "lan"})
			testrig.IP(rig.Host, "link add bridge0 up type bridge")
			testrig.IP(rig.Host, "link add stale type veth peer name stale-peer")
			testrig.IP(rig.Host, "link set stale up")
			testrig.IP(rig.Host, "address add 192.0.3.1/24 dev stale")
			testrig.IP(rig.Host, "route add 10.1.2.3/32 dev stale scope host")
			testrig.IP(rig.Host, "route add %s", route)
			static := `{"type":"ptp","ipam":{"type":"static","addresses":[{"address":"10.1.2.2/24","gateway":"10.1.2.1"},{"address":"10.1.2.3/24","gateway":"10.1.2.1"},{"address":"fd00:1::2/64","gateway":"fd00:1::1"}]}}`
			expectSame := rig.Remember(one)
			_, err := rig.Call("ADD", one, static)
			address, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(route, "blackhole "), "prohibit "), " ")
			Expect(err).To(MatchError(ContainSubstring("the host has another route to %s (%s); delete that first, or use another address", address, described)))
			Expect(testrig.Code(err)).To(Equal(types.ErrTryAgainLater))
			expectSame()
			rig.Del(one, static)
			expectSame()
			testrig.IP(rig.Host, "route del %s", route)
			rig.Add(one, static)
			Expect(testrig.Reach(rig.Host, one.Netns, "10.1.2.2")).To(Equal("10.1.2.1"))
			rig.Del(one, static)
		},
		Entry("through another kind of link", "10.1.2.2 dev bridge0", "dev bridge0"),
		Entry("through another kind of link, IPv6", "fd00:1::2 dev bridge0", "dev bridge0"),
		Entry("by way of a gateway behind a veth", "10.1.2.2 via 192.0.2.9", "via 192.0.2.9 dev lan"),
		Entry("by way of a gateway behind a veth, IPv6", "fd00:1::2 via 2001:db8::9", "via 2001:db8::9 dev lan"),
		Entry("by way of a gateway of the other family", "10.1.2.2 via inet6 2001:db8::9 dev lan", "via 2001:db8::9 dev lan"),
		Entry("by way of a gateway behind a veth without a carrier", "10.1.2.2 via 192.0.3.9", "via 192.0.3.9 dev stale"),
		Entry("through two links", "10.1.2.2 nexthop via 192.0.2.9 nexthop dev stale", "via 192.0.2.9 dev lan, dev stale"),
		Entry("to nowhere", "blackhole 10.1.2.2", "blackhole"),
		Entry("to nowhere, IPv6", "prohibit fd00:1::2", "prohibit"),
	)

	It("leave a route alone that theirs comes before", func() {
		testrig.IP(rig.Host, "link add lan up type bridge")
		testrig.IP(rig.Host, "link add stale up type veth peer name stale-peer")
		for _, route := range []string{"10.1.2.2 dev stale scope host", "10.1.2.2 dev lan metric 7", "fd00:1::2 dev stale", "fd00:1::2 dev lan metric 2000"} {
			testrig.IP(rig.Host, "route add %s", route)
		}
		static := `{"type":"ptp","ipam":{"type":"static","addresses":[{"address":"10.1.2.2/24","gateway":"10.1.2.1"},{"address":"fd00:1::2/64","gateway":"fd00:1::1"}]}}`
		rig.Add(one, static)
		Expect(testrig.Reach(rig.Host, one.Netns, "10.1.2.2")).To(Equal("10.1.2.1"))
		Expect(testrig.Reach(rig.Host, one.Netns, "fd00:1::2")).To(Equal("fd00:1::1"))
		rig.Del(one, static)
		Expect(testrig.IP(rig.Host, "route show 10.1.2.2")).To(ContainSubstring("dev lan scope link metric 7"))
		Expect(testrig.IP(rig.Host, "-6 route show fd00:1::2")).To(ContainSubstring("dev lan metric 2000"))
		Expect(testrig.IP(rig.Host, "route show")).NotTo(ContainSubstring("stale"))
	})

	It("go where another gateway of the subnet leads", func() {
		testrig.IP(rig.Host, "link set lo up")
		testrig.IP(rig.Host, "address add 10.1.2.77/32 dev lo")
		testrig.IP(rig.Host, "address add 10.9.1.1/32 dev lo")
		c := `{"type":"ptp","ipam":{"type":"static","addresses":[{"address":"10.1.2.2/24","gateway":"10.1.2.1"},{"address":"fd00:1::2/64","gateway":"fd00:1::1"}],
			"routes":[{"dst":"10.9.1.0/24","gw":"10.1.2.77"},{"dst":"fd00:9::/64","gw":"fd00:1::77"}]}}`
		result := rig.Add(one, c)
		_, err := testrig.Run(one.Netns, "ping", "-c", "1", "-W", "2", "10.9.1.1")
		Expect(err).NotTo(HaveOccurred())
		Expect(rig.Check(one, c, result)).To(Succeed())
	})

	DescribeTable("go as IPAM says when it gives routes to the container's own subnets and gateways, too",
		func(how string) {
			c := `{"type":"ptp","ipam":{"type":"static","addresses":[{"address":"10.1.2.2/24","gateway":"10.1.2.1"},{"address":"fd00:1::2/64","gateway":"fd00:1::1"}],
				"routes":[{"dst":"10.1.2.1/32","scope":253},{"dst":"fd00:1::1/128","scope":253},{"dst":"10.1.2.0/24"` + how + `},{"dst":"fd00:1::/64"` + how + `}]}}`
			result := rig.Add(one, c)
			Expect(testrig.Reach(one.Netns, rig.Host, "10.1.2.1")).To(Equal("10.1.2.2"))
			Expect(testrig.Reach(one.Netns, rig.Host, "fd00:1::1")).To(Equal("fd00:1::2"))
			Expect(testrig.IP(one.Netns, "route show")).NotTo(ContainSubstring("proto kernel"))
			Expect(rig.Check(one, c, result)).To(Succeed())
			rig.Del(one, c)
		},
		Entry("without more", ``),
		Entry("with an MTU", `,"mtu":1300`),
		Entry("with a metric", `,"priority":7`),
	)

	It("have no way without the routes of their own interface, says CHECK", func() {
		static := func(net int) string {
			return fmt.Sprintf(`{"type":"ptp","ipam":{"type":"static","addresses":[{"address":"10.1.%d.2/24","gateway":"10.1.%d.1"}],"routes":[{"dst":"0.0.0.0/0"}]}}`, net, net)
		}
		result := rig.Add(one, static(2))
		another := *one
		another.IfName = "eth1"
		other := rig.Add(&another, static(3))
		testrig.IP(one.Netns, "route del default dev eth0")
		testrig.IP(one.Netns, "route del 10.1.2.0/24")
		testrig.IP(one.Netns, "route del 10.1.2.1")
		Expect(rig.Check(one, static(2), result)).To(MatchError(And(
			ContainSubstring("the route 0.0.0.0/0 via 10.1.2.1 is missing"),
			ContainSubstring("the route to 10.1.2.0/24 through eth0 is missing"),
			ContainSubstring("the route to 10.1.2.1/32 through eth0 is missing"),
		)))
		Expect(rig.Check(&another, static(3), other)).To(Succeed())
	})

	It("need no namespace but the host's (CNI_NETNS_OVERRIDE)", func() {
		one.Override, one.Path, one.Netns = "1", rig.Host.Path(), rig.Host
		c := config(``)
		result := rig.Add(one, c)
		Expect(rig.Check(one, c, result)).To(Succeed())
		rig.Del(one, c)
	})

	It("leave the route of a living container alone when ADD fails", func() {
		static := func(routes string) string {
			return `{"type":"ptp","ipam":{"type":"static","addresses":[{"address":"10.1.2.2/24","gateway":"10.1.2.1"}],"routes":[` + routes + `]}}`
		}
		result := rig.Add(one, static(``))
		_, err := rig.Call("ADD", two, static(`{"dst":"192.0.2.0/24","gw":"198.51.100.1"}`))
		Expect(err).To(MatchError(ContainSubstring("192.0.2.0/24 via 198.51.100.1")))
		Expect(rig.Check(one, static(``), result)).To(Succeed())
		Expect(testrig.Reach(rig.Host, one.Netns, "10.1.2.2")).To(Equal("10.1.2.1"))
	})
})

var _ = Describe("the kernel", func() {
	It("has the routes of the reference", func() {
		rig := testrig.New(Plugin, ipamPath())
		c := rig.Container("one")
		result := rig.Add(c, `{"type":"ptp","mac":"02:00:00:00:00:05",`+rig.HostLocal("", "192.168.3.0/24")+`}`)
		Expect(result.Interfaces[containerIndex].Mac).To(Equal("02:00:00:00:00:05"))
		c.Do(func() {
			routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
			Expect(err).NotTo(HaveOccurred())
			Expect(describeRoutes(routes)).To(ConsistOf(
				"192.168.3.1/32 src 192.168.3.2 scope link",
				"192.168.3.0/24 via 192.168.3.1 src 192.168.3.2 scope universe",
			))
		})
		rig.OnHost(func() {
			routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
			Expect(err).NotTo(HaveOccurred())
			Expect(describeRoutes(routes)).To(ConsistOf("192.168.3.2/32 scope host"))
		})
	})

	It("gets back to where it was when the configuration's DNS is empty lists", func() {
		rig := testrig.New(Plugin, ipamPath())
		c := rig.Container("one")
		result := rig.Add(c, `{"type":"ptp","dns":{"nameservers":[]},"ipam":{"type":"static","addresses":[{"address":"10.0.0.5/24","gateway":"10.0.0.1"}],"dns":{"nameservers":["1.1.1.1"]}}}`)
		Expect(result.DNS.Nameservers).To(BeEmpty())
	})
})

func FuzzParse(f *testing.F) {
	testrig.FuzzLint(f, Plugin,
		`{"name":"n","ipMasq":true,"mtu":1400,"ipam":{"type":"host-local"}}`,
		`{"mtu":"x","mac":7,"ipMasqBackend":null}`)
}
