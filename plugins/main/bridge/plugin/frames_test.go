// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

const (
	experimental = 0x88b5 // the EtherType of the frames of these tests
	arrival      = 2 * time.Second
	absence      = 200 * time.Millisecond
)

var everyone = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// passes tells whether a broadcast frame that is sent on one link from the
// given MAC address arrives at the other, and with which VLAN tags.
func passes(from ns.NetNS, fromLink string, mac net.HardwareAddr, tags []uint16, to ns.NetNS, toLink string, within time.Duration) ([]uint16, bool) {
	GinkgoHelper()
	return passesTo(everyone, from, fromLink, mac, tags, to, toLink, within)
}

// passesTo is passes for a frame to a MAC address.
func passesTo(target net.HardwareAddr, from ns.NetNS, fromLink string, mac net.HardwareAddr, tags []uint16,
	to ns.NetNS, toLink string, within time.Duration,
) ([]uint16, bool) {
	GinkgoHelper()
	packets, err := testutils.Capture(to, toLink)
	Expect(err).NotTo(HaveOccurred())
	defer packets.Close()
	frame := testutils.EthernetFrame(target, mac, experimental, make([]byte, 46), tags...)
	Eventually(func() error { return testutils.SendFrame(from, fromLink, frame) }).Should(Succeed())
	seen, err := packets.Wait(within, func(f testutils.Frame) bool {
		return !f.Outgoing && f.EtherType() == experimental && f.Src().String() == mac.String()
	})
	return seen.VLANs(), err == nil
}

func macOf(c *testrig.Container) (mac net.HardwareAddr) {
	GinkgoHelper()
	c.Do(func() {
		l, err := netlink.LinkByName(c.IfName)
		Expect(err).NotTo(HaveOccurred())
		mac = l.Attrs().HardwareAddr
	})
	return mac
}

// hearsItself tells whether a broadcast frame that c sends comes back to it.
func hearsItself(c *testrig.Container, within time.Duration) bool {
	GinkgoHelper()
	_, heard := passes(c.Netns, c.IfName, macOf(c), nil, c.Netns, c.IfName, within)
	return heard
}

var _ = Describe("frames", func() {
	var rig *testrig.Rig
	var one, two *testrig.Container

	BeforeEach(func() {
		rig = testrig.New(Plugin, ipamPath())
		one, two = rig.Container("one"), rig.Container("two")
	})

	between := func(from, to *testrig.Container, tags []uint16, within time.Duration) ([]uint16, bool) {
		GinkgoHelper()
		return passes(from.Netns, from.IfName, macOf(from), tags, to.Netns, to.IfName, within)
	}

	It("from another MAC address than the container's are dropped with macspoofchk", func() {
		testutils.Need(GinkgoT(), "nftables")
		const guarded = `{"type":"bridge","bridge":"br0","macspoofchk":true}`
		result := rig.Add(one, guarded)
		rig.Add(two, guarded)
		_, passed := between(one, two, nil, arrival)
		Expect(passed).To(BeTrue())
		forged := net.HardwareAddr{0x02, 0, 0, 0, 0, 0x66}
		_, passed = passes(one.Netns, "eth0", forged, nil, two.Netns, "eth0", absence)
		Expect(passed).To(BeFalse())
		Expect(rig.Check(one, guarded, result)).To(Succeed())
		rig.Del(one, guarded)

		open := rig.Container("open")
		rig.Add(open, `{"type":"bridge","bridge":"br0"}`)
		_, passed = passes(open.Netns, "eth0", forged, nil, two.Netns, "eth0", arrival)
		Expect(passed).To(BeTrue())
	})

	It("from another MAC address are dropped until the port is gone", func() {
		testutils.Need(GinkgoT(), "nftables")
		dir := GinkgoT().TempDir()
		entered, leave := filepath.Join(dir, "entered"), filepath.Join(dir, "leave")
		Expect(errors.Join(unix.Mkfifo(entered, 0o600), unix.Mkfifo(leave, 0o600))).To(Succeed())
		slow := fmt.Sprintf(`#!/bin/sh
case $CNI_COMMAND in
ADD) echo '{"cniVersion":"1.1.0","ips":[{"address":"10.1.2.3/24"}]}' ;;
DEL) echo >%s; read line <%s ;;
esac
`, entered, leave)
		Expect(os.WriteFile(filepath.Join(dir, "slow"), []byte(slow), 0o755)).To(Succeed())
		GinkgoT().Setenv("CNI_PATH", dir)
		const guarded = `{"type":"bridge","bridge":"br0","macspoofchk":true,"ipam":{"type":"slow"}}`
		rig.Add(one, guarded)
		rig.Add(two, `{"type":"bridge","bridge":"br0"}`)

		deleted := make(chan struct{})
		go func() {
			defer GinkgoRecover()
			defer close(deleted)
			rig.Del(one, guarded)
		}()
		Eventually(func() ([]byte, error) { return os.ReadFile(entered) }).Should(Equal([]byte("\n")))
		_, passed := between(one, two, nil, arrival)
		Expect(passed).To(BeTrue())
		_, passed = passes(one.Netns, "eth0", net.HardwareAddr{0x02, 0, 0, 0, 0, 0x66}, nil, two.Netns, "eth0", absence)
		Expect(passed).To(BeFalse())
		Expect(os.WriteFile(leave, []byte("\n"), 0)).To(Succeed())
		Eventually(deleted).Should(BeClosed())
	})

	It("to a container reach it with macspoofchk, whoever forges its address in link-local frames", func() {
		testutils.Need(GinkgoT(), "nftables")
		const guarded = `{"type":"bridge","bridge":"br0","macspoofchk":true}`
		rig.OnHost(func() { addBridge() }) // of the administrator
		rig.Add(one, guarded)
		result := rig.Add(two, guarded)
		rig.OnHost(func() {
			_, details, err := link.FindWithDetails("br0")
			Expect(err).NotTo(HaveOccurred())
			Expect(details.LearnsLinkLocal()).To(BeFalse())
		})
		_, passed := between(two, one, nil, arrival) // the bridge knows where it is
		Expect(passed).To(BeTrue())
		nearestBridge := net.HardwareAddr{0x01, 0x80, 0xc2, 0, 0, 0x0e} // IEEE 802.1Q, 8.6.3
		_, passed = passesTo(nearestBridge, one.Netns, "eth0", macOf(two), nil, two.Netns, "eth0", absence)
		Expect(passed).To(BeFalse())
		_, passed = passesTo(macOf(two), one.Netns, "eth0", macOf(one), nil, two.Netns, "eth0", arrival)
		Expect(passed).To(BeTrue())
		Expect(rig.Check(two, guarded, result)).To(Succeed())

		testrig.IP(rig.Host, "link set br0 type bridge no_linklocal_learn 0")
		Expect(rig.Check(two, guarded, result)).To(MatchError(ContainSubstring("br0: no_linklocal_learn is 0, expected 1")))
		rig.OnHost(func() {
			Expect(netlink.LinkSetAlias(testrig.Find(result.Interfaces[hostIndex].Name), "")).To(Succeed())
		})
		Expect(rig.Check(two, guarded, result)).To(Succeed(), "as upstream made it")
		plain := rig.Container("plain")
		rig.Add(plain, `{"type":"bridge","bridge":"br0"}`)
		Expect(testrig.IP(rig.Host, "-details link show br0")).To(ContainSubstring("no_linklocal_learn 0"))
	})

	Describe("with VLANs", func() {
		BeforeEach(func() { testutils.Need(GinkgoT(), "bridge-vlan-filtering") })

		const (
			access = `{"type":"bridge","bridge":"br0","vlan":100}`
			trunk  = `{"type":"bridge","bridge":"br0","vlanTrunk":[{"id":100},{"minID":200,"maxID":210}]}`
		)

		members := func(c *testrig.Container, hostName string) map[int]bool {
			untagged := map[int]bool{}
			rig.OnHost(func() {
				l, err := netlink.LinkByName(hostName)
				Expect(err).NotTo(HaveOccurred())
				vlans, err := portVLANs(l)
				Expect(err).NotTo(HaveOccurred())
				for _, vlan := range vlans {
					untagged[int(vlan.Vid)] = vlan.EngressUntag()
				}
			})
			return untagged
		}

		It("reach the members of the VLAN, tagged on a trunk, and nobody else", func() {
			rig.Add(one, access)
			rig.Add(two, trunk)
			elsewhere := rig.Container("elsewhere")
			rig.Add(elsewhere, `{"type":"bridge","bridge":"br0","vlan":300}`)

			tags, passed := between(one, two, nil, arrival)
			Expect(passed).To(BeTrue())
			Expect(tags).To(Equal([]uint16{100}))
			tags, passed = between(two, one, []uint16{100}, arrival)
			Expect(passed).To(BeTrue())
			Expect(tags).To(BeEmpty())
			_, passed = between(one, elsewhere, nil, absence)
			Expect(passed).To(BeFalse())
			_, passed = between(two, one, []uint16{205}, absence)
			Expect(passed).To(BeFalse())
		})

		It("make the port a member of just the configured ones", func() {
			result := rig.Add(one, access)
			Expect(members(one, result.Interfaces[hostIndex].Name)).To(Equal(map[int]bool{100: true}))
			Expect(rig.Check(one, access, result)).To(Succeed())

			preserving := `{"type":"bridge","bridge":"br0","vlan":100,"preserveDefaultVlan":true}`
			result = rig.Add(two, preserving)
			Expect(members(two, result.Interfaces[hostIndex].Name)).To(HaveLen(2))
			Expect(rig.Check(two, preserving, result)).To(Succeed())
		})

		It("may reach a port of upstream's from the default VLAN, which it left it in", func() {
			result := rig.Add(one, access)
			host := result.Interfaces[hostIndex].Name
			rig.OnHost(func() {
				Expect(netlink.BridgeVlanAdd(testrig.Find(host), 1, false, true, false, true)).To(Succeed())
			})
			Expect(rig.Check(one, access, result)).To(MatchError(ContainSubstring(host + ": the port is a member of VLAN 1 in another way than configured")))
			rig.OnHost(func() { Expect(netlink.LinkSetAlias(testrig.Find(host), "")).To(Succeed()) })
			Expect(rig.Check(one, access, result)).To(Succeed())
			rig.OnHost(func() {
				Expect(netlink.BridgeVlanAdd(testrig.Find(host), 2, false, true, false, true)).To(Succeed())
			})
			Expect(rig.Check(one, access, result)).To(MatchError(ContainSubstring(host + ": the port is a member of VLAN 2 in another way than configured")))
		})

		It("give a trunk the native VLAN 1, and all ids in a moment", func() {
			all := `{"type":"bridge","bridge":"br0","vlanTrunk":[{"minID":2,"maxID":4094}]}`
			result := rig.Add(one, all)
			vlans := members(one, result.Interfaces[hostIndex].Name)
			Expect(vlans).To(HaveLen(4094))
			Expect(vlans[1]).To(BeTrue())
			Expect(vlans[2]).To(BeFalse())
			Expect(rig.Check(one, all, result)).To(Succeed())
		})

		It("switch filtering on on a bridge that is there", func() {
			rig.Add(two, `{"type":"bridge","bridge":"br0"}`)
			result := rig.Add(one, access)
			rig.OnHost(func() {
				l, err := netlink.LinkByName("br0")
				Expect(err).NotTo(HaveOccurred())
				Expect(*l.(*netlink.Bridge).VlanFiltering).To(BeTrue())
				Expect(link.SetVLANFiltering(l.Attrs().Index, false)).To(Succeed())
			})
			Expect(rig.Check(one, access, result)).To(MatchError(ContainSubstring("br0: VLAN filtering is false, expected true")))
		})

		It("have the bridge's own VLAN device as their gateway if there is one", func() {
			testutils.Need(GinkgoT(), "vlan")
			c := `{"type":"bridge","bridge":"br0","vlan":100,"isDefaultGateway":true,` + rig.HostLocal("", "10.1.2.0/24", "fd00:1:2::/64") + `}`
			testrig.IP(rig.Host, "link add br0 type bridge vlan_filtering 1")
			testrig.IP(rig.Host, "link add link br0 name br0.100 type vlan id 100")
			rig.OnHost(func() { _ = sysctl.Set("net/ipv6/conf/br0.100/accept_dad", "0") })
			result := rig.Add(one, c)
			rig.Add(two, c)
			Expect(testrig.Reach(one.Netns, rig.Host, "10.1.2.1")).To(Equal("10.1.2.2"))
			Expect(testrig.Reach(two.Netns, rig.Host, "fd00:1:2::1")).To(Equal("fd00:1:2::3"))
			Expect(testrig.IP(rig.Host, "-details link show br0.100")).To(ContainSubstring("vlan protocol 802.1Q id 100"))
			Expect(rig.Check(one, c, result)).To(Succeed())

			rig.OnHost(func() {
				Expect(netlink.BridgeVlanDel(testrig.Find("br0"), 100, false, false, true, false)).To(Succeed())
			})
			Expect(rig.Check(one, c, result)).To(MatchError(ContainSubstring("br0: the bridge itself is no tagged member of VLAN 100, as br0.100 needs it")))
			testrig.IP(rig.Host, "link del br0.100")
			testrig.IP(rig.Host, "link add link br0 name br0.100 type vlan id 101")
			Expect(rig.Check(one, c, result)).To(MatchError(ContainSubstring("br0.100: type is vlan, expected veth")))
			_, err := rig.Call("ADD", rig.Container("three"), c)
			Expect(err).To(MatchError(ContainSubstring("br0.100: it exists and is neither a veth nor VLAN 100 of br0 but of type vlan")))
		})

		It("have no gateway device whose other end is elsewhere, with the index of a link of the host", func() {
			testrig.IP(rig.Host, "link add br0 type bridge vlan_filtering 1")
			testrig.IP(rig.Host, "link add uplink index 77 type veth peer name other")
			testrig.IP(two.Netns, "link add far index 77 type veth peer name br0.100")
			testrig.MoveLink(two.Netns, "br0.100", rig.Host)
			before := testrig.IP(rig.Host, "link show uplink")
			_, err := rig.Call("ADD", one, `{"type":"bridge","bridge":"br0","vlan":100,"isDefaultGateway":true,`+rig.HostLocal("", "10.1.2.0/24")+`}`)
			Expect(err).To(MatchError(ContainSubstring("br0.100: its other end is in another network namespace; remove it")))
			Expect(testrig.IP(rig.Host, "link show uplink")).To(Equal(before))
		})

		It("have a gateway device of their own", func() {
			c := `{"type":"bridge","bridge":"br0","vlan":100,"isDefaultGateway":true,` + rig.HostLocal("", "10.1.2.0/24", "fd00:1:2::/64") + `}`
			result := rig.Add(one, c)
			Expect(result.Interfaces).To(HaveLen(4))
			Expect(result.Interfaces[3].Name).To(Equal("br0.100"))
			rig.OnHost(func() {
				device := testrig.Find("br0.100")
				addresses, err := netlink.AddrList(device, netlink.FAMILY_V6)
				Expect(err).NotTo(HaveOccurred())
				for _, addr := range addresses {
					Expect(addr.Flags&unix.IFA_F_TENTATIVE).To(BeZero(), "%s: with a tentative one nothing is forwarded", addr.IPNet)
				}
				port, err := netlink.LinkByIndex(device.Attrs().ParentIndex)
				Expect(err).NotTo(HaveOccurred())
				Expect(netlink.AddrList(port, netlink.FAMILY_V6)).To(BeEmpty())
			})
			rig.Add(two, c)
			Expect(testrig.Reach(one.Netns, rig.Host, "10.1.2.1")).To(Equal("10.1.2.2"))
			Expect(testrig.Reach(two.Netns, one.Netns, "fd00:1:2::2")).To(Equal("fd00:1:2::3"))
			rig.OnHost(func() {
				device, err := netlink.LinkByName("br0.100")
				Expect(err).NotTo(HaveOccurred())
				Expect(device.Type()).To(Equal("veth"))
				port, err := netlink.LinkByIndex(device.Attrs().ParentIndex)
				Expect(err).NotTo(HaveOccurred())
				Expect(port.Attrs().Index).To(Equal(device.Attrs().Index - 1))
				links, err := netlink.LinkList()
				Expect(err).NotTo(HaveOccurred())
				Expect(links).To(HaveLen(6)) // lo, the bridge, two ports, the gateway device and its port
			})
			Expect(rig.Check(one, c, result)).To(Succeed())
			expectGatewayPortChecked(rig, one, c, result)
			third := rig.Add(rig.Container("three"), strings.Replace(c, `"vlan":100`, `"vlan":100,"mtu":1400`, 1))
			Expect(third.Interfaces[3].Mtu).To(Equal(1400))
			rig.OnHost(func() {
				Expect(testrig.Find("br0.100").Attrs().MTU).To(Equal(1400), "what the third cannot take is lost")
			})
		})
	})
})

// expectGatewayPortChecked damages the port behind br0.100 in every way, and expects
// of CHECK that it says so, and of an ADD that it mends it.
func expectGatewayPortChecked(rig *testrig.Rig, c *testrig.Container, config string, result *current.Result) {
	GinkgoHelper()
	for i, damage := range []struct {
		do   func(port netlink.Link) error
		want string
	}{
		{netlink.LinkSetDown, ": the interface is down"},
		{netlink.LinkSetNoMaster, " at its other end is no port of br0"},
		{func(port netlink.Link) error { return netlink.BridgeVlanDel(port, 100, true, true, false, true) },
			" at its other end is no untagged port of VLAN 100"},
		{func(port netlink.Link) error { return netlink.BridgeVlanAdd(port, 100, false, false, false, true) },
			" at its other end is no untagged port of VLAN 100"},
	} {
		rig.OnHost(func() {
			port, err := netlink.LinkByIndex(testrig.Find("br0.100").Attrs().ParentIndex)
			Expect(err).NotTo(HaveOccurred())
			Expect(damage.do(port)).To(Succeed())
		})
		Expect(rig.Check(c, config, result)).To(MatchError(ContainSubstring(damage.want)))
		rig.Add(rig.Container(fmt.Sprint("another", i)), config)
		Expect(rig.Check(c, config, result)).To(Succeed())
	}
}
