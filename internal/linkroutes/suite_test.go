// SPDX-License-Identifier: Apache-2.0

//go:build linux

package linkroutes

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

func TestLinkroutes(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "internal/linkroutes")
}

func to(dst string) netlink.Route {
	_, network, err := net.ParseCIDR(dst)
	Expect(err).NotTo(HaveOccurred())
	return netlink.Route{Dst: network, LinkIndex: 7, Table: unix.RT_TABLE_MAIN}
}

func hops(links ...int) netlink.Route {
	route := netlink.Route{Table: unix.RT_TABLE_MAIN}
	for _, index := range links {
		route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{LinkIndex: index, Flags: unix.RTNH_F_LINKDOWN | unix.RTNH_F_ONLINK})
	}
	return route
}

var _ = Describe("routes", func() {
	It("of a link lead through no other", func() {
		elsewhere, table := to("10.2.0.0/16"), to("10.3.0.0/16")
		elsewhere.LinkIndex, table.Table = 8, 100
		local := to("10.1.0.1/32")
		local.Table = unix.RT_TABLE_LOCAL
		all := []netlink.Route{to("10.1.0.0/16"), elsewhere, table, hops(7, 7), hops(7, 8), local}
		Expect(Through(all, 7, unix.RT_TABLE_MAIN)).To(Equal([]netlink.Route{all[0], all[3]}))
		Expect(ThroughInOthers(all, 7, unix.RT_TABLE_MAIN)).To(Equal([]netlink.Route{table}))
	})

	It("of IPv6 and several links have a part for each", func() {
		route := hops(7, 8, 7)
		route.MultiPath[0].Gw, route.MultiPath[2].Gw = net.ParseIP("fd00::1"), net.ParseIP("fd00::2")
		route.Family, route.Protocol = netlink.FAMILY_V6, unix.RTPROT_STATIC
		shares := Shares([]netlink.Route{to("10.1.0.0/16"), hops(7, 7), hops(8, 8), hops(7, 8), route}, 7, unix.RT_TABLE_MAIN)
		Expect(shares).To(HaveLen(2))
		Expect(Text(shares[0])).To(Equal("default via fd00::1 in table 254"))
		Expect(Text(shares[1])).To(Equal("default via fd00::2 in table 254"))
		Expect(shares[1].LinkIndex).To(Equal(7))
		Expect(shares[1].Protocol).To(BeZero(), "may be another than that of the first part")
		Expect(Through(shares, 7, unix.RT_TABLE_MAIN)).To(HaveLen(2))
		Expect(Of([]netlink.Route{route, hops(7, 7), to("10.1.0.0/16")}, 7, unix.RT_TABLE_MAIN)).To(HaveLen(4))
	})

	It("are locked in one namespace by one at a time", func() {
		testutils.Need(GinkgoT(), "root")
		netns, err := testutils.NewNS()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(testutils.UnmountNS(netns)).To(Succeed()) })
		request := func() *plugin.Request {
			handle, err := ns.GetNS(netns.Path())
			Expect(err).NotTo(HaveOccurred())
			return &plugin.Request{Netns: ns.RefTo(handle, netns.Path())}
		}
		first, second := request(), request()
		entered := make(chan error, 1)
		Expect(Locked(first, func() error {
			same, err := ns.SameAsCurrent(netns.Path())
			Expect(same).To(BeTrue())
			go func() { entered <- Locked(second, func() error { return nil }) }()
			Consistently(entered, 50*time.Millisecond).ShouldNot(Receive())
			return errors.Join(err, os.ErrInvalid)
		})).To(MatchError(os.ErrInvalid))
		Eventually(entered).Should(Receive(BeNil()))
	})

	It("are not locked for good by a process of the container", func() {
		testutils.Need(GinkgoT(), "root")
		netns, err := testutils.NewNS()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(testutils.UnmountNS(netns)).To(Succeed()) })
		holder, err := os.Open(netns.Path())
		Expect(err).NotTo(HaveOccurred())
		defer holder.Close()
		Expect(unix.Flock(int(holder.Fd()), unix.LOCK_EX)).To(Succeed())
		Expect(Locked(&plugin.Request{Plugin: "test", Netns: ns.RefTo(netns, netns.Path())}, func() error { return os.ErrInvalid })).To(Equal(os.ErrInvalid))
		Expect(unix.Flock(int(holder.Fd()), unix.LOCK_EX|unix.LOCK_NB)).To(Succeed(), "nothing is unlocked that is another's")
	})

	It("lose what the kernel has noted when they move", func() {
		route := hops(7)
		route.Flags = unix.RTNH_F_DEAD | unix.RTNH_F_ONLINK
		moved := InTable(route, 100)
		Expect([]int{moved.Table, moved.Flags, moved.MultiPath[0].Flags}).To(Equal([]int{100, unix.RTNH_F_ONLINK, unix.RTNH_F_ONLINK}))
		Expect(route.MultiPath[0].Flags).NotTo(Equal(unix.RTNH_F_ONLINK), "the original stays as it is")
	})

	It("are read as they were written, with all they have", func() {
		plain, wide, twice := to("2001:db8::/32"), to("10.1.0.0/16"), hops(7, 8)
		plain.Gw, plain.Src, plain.MTU, plain.Priority, plain.Table = net.ParseIP("fd00::1"), net.ParseIP("fd00::2"), 1300, 7, 1001
		wide.Via = &netlink.Via{AddrFamily: netlink.FAMILY_V6, Addr: net.ParseIP("fe80::1")}
		wide.Encap = &netlink.MPLSEncap{Labels: []int{100, 200}}
		twice.MultiPath[0].Via = &netlink.Via{AddrFamily: netlink.FAMILY_V4, Addr: net.IP{10, 1, 0, 1}}
		twice.MultiPath[1].Encap = &netlink.SEG6Encap{Mode: nl.SEG6_IPTUN_MODE_ENCAP, Segments: []net.IP{net.ParseIP("fd00::9")}}
		written := Saved{plain, wide, twice, {}}
		data, err := json.Marshal(written)
		Expect(err).NotTo(HaveOccurred())
		var read Saved
		Expect(json.Unmarshal(data, &read)).To(Succeed())
		Expect(read).To(HaveLen(len(written)))
		for i := range written {
			Expect(read[i].Equal(written[i])).To(BeTrue(), "%v is %v", written[i], read[i])
		}
		Expect(read[0]).To(Equal(plain))
		for _, broken := range []string{`7`, `[{"Via":{"Kind":2,"Bytes":"AA=="}}]`, `[{"MultiPath":[{"Encap":{"Kind":1,"Bytes":""}}]}]`, `[{"Gw":"x"}]`} {
			Expect(json.Unmarshal([]byte(broken), &read)).NotTo(Succeed(), broken)
		}
		Expect(json.Unmarshal([]byte(`[{"Encap":{"Kind":99,"Bytes":"AA=="}},null]`), &read)).To(Succeed())
	})

	It("come after those by which their gateways are reached", func() {
		far := to("10.9.0.0/16")
		far.Gw = net.IPv4(10, 1, 0, 1)
		routes := []netlink.Route{far, hops(7), to("10.1.0.0/16"), to("10.2.0.0/16")}
		NearestFirst(routes)
		Expect(Text(routes[0])).To(Equal("10.1.0.0/16 in table 254"))
		Expect(Text(routes[1])).To(Equal("10.2.0.0/16 in table 254"))
		Expect(Text(routes[2])).To(Equal("10.9.0.0/16 via 10.1.0.1 in table 254"))
		Expect(Text(to("::/0"))).To(Equal("default in table 254"))
	})

	It("are added once, beside others, and removed once", func() {
		testutils.Inside(testutils.TempNS(GinkgoT()), func() {
			lo, err := netlink.LinkByName("lo")
			Expect(err).NotTo(HaveOccurred())
			Expect(netlink.LinkSetUp(lo)).To(Succeed())
			for _, dst := range []string{"10.1.0.0/16", "fd00:1::/64"} {
				route := to(dst)
				route.LinkIndex, route.Table = lo.Attrs().Index, 100
				Expect(Add(route)).To(BeTrue())
				Expect(Add(route)).To(BeFalse())
				routes, err := All()
				Expect(err).NotTo(HaveOccurred())
				Expect(Through(routes, lo.Attrs().Index, 100)).To(HaveLen(1))
				used, err := TablesInUse(routes, []netlink.Rule{{Table: 77}})
				Expect(err).NotTo(HaveOccurred())
				Expect([]bool{used[100], used[77], used[101]}).To(Equal([]bool{true, true, false}))
				Expect(Remove(route)).To(BeTrue())
				Expect(Remove(route)).To(BeFalse())
			}
			_, err = Add(to("10.1.0.0/16"))
			Expect(err).To(MatchError(ContainSubstring("add the route 10.1.0.0/16 in table 254")))
		})
	})
})

var _ = It("finds the lowest table that is free", func() {
	Expect(FreeTable(map[int]bool{1: true, 3: true}, 1)).To(Equal(2))
	Expect(FreeTable(map[int]bool{}, 253)).To(Equal(256))
})
