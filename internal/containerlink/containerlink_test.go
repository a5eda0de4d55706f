// SPDX-License-Identifier: Apache-2.0

//go:build linux

package containerlink_test

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("the container's interface", func() {
	var req *plugin.Request
	var netns ns.NetNS

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "veth", "ip-tool")
		netns = testutils.TempNS(GinkgoT())
		req = &plugin.Request{Network: "n", ContainerID: "c", IfName: "eth0", Netns: ns.RefTo(netns, netns.Path())}
		testrig.IP(netns, "link add eth0 mtu 1400 type veth peer name peer")
		testrig.IP(netns, "addr add 192.0.2.5/24 dev eth0")
	})

	find := func() netlink.Link {
		GinkgoHelper()
		found, err := containerlink.Find(req, "veth")
		Expect(err).NotTo(HaveOccurred())
		Expect(found).NotTo(BeNil())
		return found
	}

	It("is silenced and deleted", func() {
		removed, err := containerlink.Silence(req, find())
		Expect(err).NotTo(HaveOccurred())
		Expect(removed).To(HaveLen(1))
		Expect(testrig.IP(netns, "-4 addr show dev eth0")).To(BeEmpty())
		Expect(containerlink.Delete(req, find())).To(Succeed())
		Expect(containerlink.Find(req, "veth")).To(BeNil())
	})

	It("may go away before it is silenced: two DELs at once", func() {
		found := find()
		testrig.IP(netns, "link del eth0")
		removed, err := containerlink.Silence(req, found)
		Expect(err).NotTo(HaveOccurred())
		Expect(removed).To(BeEmpty())
		Expect(containerlink.Delete(req, found)).To(Succeed())
	})

	DescribeTable("is found by its owner when the container has renamed it",
		func(commands ...string) {
			testrig.IP(netns, "link set eth0 alias n/c/eth0")
			own := find().Attrs().Index
			for _, command := range append([]string{"link set eth0 name renamed"}, commands...) {
				testrig.IP(netns, "%s", command)
			}
			Expect(containerlink.Find(req, "veth")).To(BeNil())
			found, err := containerlink.FindOwn(req, "veth")
			Expect(err).NotTo(HaveOccurred())
			Expect(found.Attrs().Index).To(Equal(own))
			Expect(containerlink.FindOwn(req, "macvlan")).To(BeNil(), "of another kind")
			testrig.IP(netns, "link set renamed alias n/c/eth1")
			Expect(containerlink.FindOwn(req, "veth")).To(BeNil(), "of another attachment")
		},
		Entry("and there is none of that name"),
		Entry("and another has the name", "link set peer name eth0", "link set eth0 alias n/c/eth7"),
		Entry("and one of another kind has the name", "link add eth0 type bridge"),
	)

	DescribeTable("has the MTU 1400, which is",
		func(ipamType string, previous, configured int, problem string) {
			req.IPAM = ipam.NewDelegate(ipamType, nil)
			req.Prev = &current.Result{Interfaces: []*current.Interface{{Name: "eth0", Sandbox: netns.Path(), Mtu: previous}}}
			var report check.Report
			containerlink.Check(&report, req, containerlink.Want{Kind: "veth", MTU: configured})
			if problem == "" {
				Expect(report.Err()).To(Succeed())
			} else {
				Expect(report.Err()).To(MatchError(problem))
			}
		},
		Entry("what ADD reported", "static", 1400, 0, ""),
		Entry("what ADD reported at layer 2", "", 1400, 0, ""),
		Entry("what a later plugin has made of the configured one", "static", 1400, 1500, ""),
		Entry("not what ADD reported", "static", 1500, 0, "eth0: mtu is 1400, expected 1500"),
		Entry("not what ADD reported, though configured", "static", 1500, 1400, "eth0: mtu is 1400, expected 1500"),
		Entry("what is configured, when there is no report", "static", 0, 1400, ""),
		Entry("not what is configured, when there is no report", "static", 0, 1500, "eth0: mtu is 1400, expected 1500"),
		Entry("anything, when nobody says", "static", 0, 0, ""),
		Entry("what a server says now", "dhcp", 1500, 1500, ""),
	)

	Describe("with routes that name no gateway", func() {
		const default4, default6 = "0.0.0.0/0", "::/0"

		BeforeEach(func() {
			for _, command := range []string{"link set eth0 up", "link set peer up", "addr add fd00:2::5/64 dev eth0 nodad", "addr add 192.0.2.6/24 dev eth0",
				"route add default via 192.0.2.1", "-6 route add default via fd00:2::1"} {
				testrig.IP(netns, "%s", command)
			}
			req.Prev = &current.Result{
				Interfaces: []*current.Interface{{Name: "vethx"}, {Name: "eth0", Sandbox: netns.Path()}},
				IPs: []*current.IPConfig{address("192.0.2.5/24", "192.0.2.1"), address("192.0.2.6/24", "192.0.2.2"),
					address("fd00:2::5/64", "fd00:2::1")},
				Routes: []*types.Route{{Dst: *network(default4)}, {Dst: *network(default6)}},
			}
		})

		checked := func() error {
			var report check.Report
			containerlink.Check(&report, req, containerlink.Want{Kind: "veth"})
			return report.Err()
		}

		It("agrees if they lead through the first gateway of their family", func() { Expect(checked()).To(Succeed()) })

		DescribeTable("differs if one",
			func(command, want string) {
				testrig.IP(netns, "%s", command)
				Expect(checked()).To(MatchError(want))
			},
			Entry("leads through another", "route replace default via 192.0.2.77", "the route 0.0.0.0/0 via 192.0.2.1 is missing"),
			Entry("leads through that of another address", "route replace default via 192.0.2.2", "the route 0.0.0.0/0 via 192.0.2.1 is missing"),
			Entry("has none", "route replace default dev eth0", "the route 0.0.0.0/0 via 192.0.2.1 is missing"),
			Entry("of IPv6 leads through another", "-6 route replace default via fd00:2::77", "the route ::/0 via fd00:2::1 is missing"),
			Entry("of IPv6 has none", "-6 route replace default dev eth0", "the route ::/0 via fd00:2::1 is missing"),
		)

		DescribeTable("agrees if",
			func(change func(*current.Result), commands ...string) {
				change(req.Prev)
				for _, command := range commands {
					testrig.IP(netns, "%s", command)
				}
				Expect(checked()).To(Succeed())
			},
			Entry("a later plugin has moved one to a table", func(*current.Result) {},
				"route del default", "route add default via 192.0.2.1 table 77"),
			Entry("one is of what is on the link", func(r *current.Result) {
				scope := int(netlink.SCOPE_LINK)
				r.Routes[0].Scope = &scope
			}, "route replace default dev eth0"),
			Entry("one has the link itself for a gateway", func(r *current.Result) { r.Routes[0].GW = net.IPv4zero },
				"route replace default dev eth0"),
			Entry("no address has a gateway", func(r *current.Result) { r.IPs[0].Gateway, r.IPs[1].Gateway = nil, nil },
				"route replace default dev eth0"),
			Entry("the first address has none", func(r *current.Result) { r.IPs[0].Gateway = nil },
				"route replace default via 192.0.2.2"),
			Entry("the gateway is that of no interface", func(r *current.Result) { r.IPs[0].Interface, r.IPs[1].Interface = nil, nil },
				"route replace default dev eth0"),
			Entry("another interface may have it", func(r *current.Result) {
				r.Interfaces = append(r.Interfaces, &current.Interface{Name: "eth1", Sandbox: "/x"})
			}, "route replace default via 192.0.2.77"),
		)
	})
})

func network(text string) *net.IPNet {
	ip, parsed, err := net.ParseCIDR(text)
	if err != nil {
		panic(err)
	}
	return &net.IPNet{IP: ip, Mask: parsed.Mask}
}

// address is one of the second interface of a result.
func address(text, gateway string) *current.IPConfig {
	return &current.IPConfig{Interface: current.Int(1), Address: *network(text), Gateway: net.ParseIP(gateway)}
}
