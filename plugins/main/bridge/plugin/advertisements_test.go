// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// Where an ICMPv6 message begins in a packet without extension headers, and the
// type of the one that is meant (RFC 4861, 4.2).
const (
	icmp6At             = 40
	routerAdvertisement = 134
)

func isAdvertisement(f testutils.Frame) bool {
	packet := f.Payload()
	return !f.Outgoing && f.EtherType() == unix.ETH_P_IPV6 && len(packet) > icmp6At && packet[icmp6At] == routerAdvertisement
}

// advertise tells all nodes on eth0 of the current namespace that there is a
// default router, for half an hour.
func advertise(ns.NetNS) error {
	index := testrig.Find("eth0").Attrs().Index
	socket, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	if err := unix.SetsockoptInt(socket, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return err
	}
	everybody := &unix.SockaddrInet6{ZoneId: uint32(index), Addr: [16]byte(net.IPv6linklocalallnodes)}
	return unix.Sendto(socket, []byte{routerAdvertisement, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}, 0, everybody)
}

// The host trusts no container to be its router.
var _ = Describe("a router advertisement of a container", func() {
	var rig *testrig.Rig
	var one *testrig.Container

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "ipv6")
		rig = testrig.New(Plugin, ipamPath())
		one = rig.Container("one")
	})

	// makeBridge makes the bridge before the plugin does.
	makeBridge := func(acceptRA string) func() {
		return func() {
			Expect(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}})).To(Succeed())
			Expect(netlink.LinkSetUp(testrig.Find("br0"))).To(Succeed())
			Expect(sysctl.Set("net/ipv6/conf/br0/accept_ra", acceptRA)).To(Succeed())
		}
	}
	// makeVLANGateway makes the gateway device of the VLAN as upstream's plugin
	// does.
	makeVLANGateway := func() {
		makeBridge("0")()
		Expect(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "br0.100"}, PeerName: "vethc0ffee00"})).To(Succeed())
		Expect(netlink.LinkSetMaster(testrig.Find("vethc0ffee00"), testrig.Find("br0"))).To(Succeed())
		Expect(netlink.LinkSetUp(testrig.Find("vethc0ffee00"))).To(Succeed())
		Expect(netlink.LinkSetUp(testrig.Find("br0.100"))).To(Succeed())
	}
	// advertised attaches one and lets it advertise itself. It returns how many
	// default routes the host has then.
	advertised := func(prepare func(), device, keys string) func() int {
		GinkgoHelper()
		if prepare != nil {
			rig.OnHost(prepare)
		}
		rig.Add(one, `{"type":"bridge","bridge":"br0","isGateway":true,`+keys+rig.HostLocal("", "10.1.2.0/24")+`}`)
		packets, err := testutils.Capture(rig.Host, device)
		Expect(err).NotTo(HaveOccurred())
		defer packets.Close()
		Eventually(func() error { return one.Netns.Do(advertise) }, arrival).Should(Succeed())
		_, err = packets.Wait(arrival, isAdvertisement)
		Expect(err).NotTo(HaveOccurred())
		return func() (defaults int) {
			rig.OnHost(func() {
				routes, err := netlink.RouteList(testrig.Find(device), netlink.FAMILY_V6)
				Expect(err).NotTo(HaveOccurred())
				for _, route := range routes {
					if ones, _ := route.Dst.Mask.Size(); ones == 0 {
						defaults++
					}
				}
			})
			return defaults
		}
	}

	DescribeTable("gives the host no default route",
		func(prepare func()) {
			Consistently(advertised(prepare, "br0", ""), 2*absence).Should(BeZero())
		},
		Entry("through a bridge that the plugin has made", nil),
		Entry("through one that was there", makeBridge("1")),
	)

	DescribeTable("gives the host no default route through the gateway device of a VLAN",
		func(prepare func()) {
			testutils.Need(GinkgoT(), "bridge-vlan-filtering")
			Consistently(advertised(prepare, "br0.100", `"vlan":100,`), 2*absence).Should(BeZero())
		},
		Entry("that the plugin has made", nil),
		Entry("that was there", makeVLANGateway),
	)

	It("counts where the administrator has said that the host is to have its route from the bridge", func() {
		Eventually(advertised(makeBridge("2"), "br0", ""), arrival).Should(Equal(1))
	})
})
