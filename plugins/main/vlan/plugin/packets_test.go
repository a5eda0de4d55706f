// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vlan

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("packets", func() {
	var rig *testrig.Rig
	var one, two *testrig.Container
	var outside ns.NetNS

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "vlan")
		rig = testrig.New(Plugin, ipamPath())
		one, two = rig.Container("one"), rig.Container("two")
		outside = rig.Outside(nil, nil)
		rig.OnHost(func() { Expect(netlink.LinkSetUp(linkCalled("uplink"))).To(Succeed()) })
	})

	config := func(id int) string {
		return fmt.Sprintf(`{"type":"vlan","master":"uplink","vlanId":%d,%s}`, id, rig.HostLocal("", "192.0.2.0/24"))
	}

	It("have the tag on the master, and reach that VLAN alone", func() {
		packets, err := testutils.Capture(rig.Host, "uplink")
		Expect(err).NotTo(HaveOccurred())
		defer packets.Close()
		result := rig.Add(one, config(100))
		Expect(rig.Check(one, config(100), result)).To(Succeed())
		addVLAN(outside, 100, "192.0.2.9/24")
		Expect(testrig.Reach(one.Netns, outside, "192.0.2.9")).To(Equal(result.IPs[0].Address.IP.String()))
		_, err = packets.Wait(time.Second, func(f testutils.Frame) bool {
			return f.Outgoing && f.Src().String() == result.Interfaces[0].Mac && len(f.VLANs()) == 1 && f.VLANs()[0] == 100
		})
		Expect(err).NotTo(HaveOccurred())

		rig.Add(two, config(200))
		_, err = testrig.Reach(two.Netns, outside, "192.0.2.9")
		Expect(err).To(HaveOccurred())
		rig.Del(one, config(100))
		rig.Del(two, config(200))
	})

	It("do not begin while somebody else has the address, if that is to be made sure", func() {
		addVLAN(outside, 100, "192.0.2.9/24")
		rig.ExpectProbed(one, `"type":"vlan","master":"uplink","vlanId":100`, "192.0.2.8/24", "192.0.2.9/24")
	})

	It("are of one container", func() {
		rig.Add(one, config(100))
		_, err := rig.Call("ADD", two, config(100))
		Expect(err).To(MatchError(And(ContainSubstring("create the vlan eth0"), ContainSubstring("somebody else has this VLAN of the master"))))
		rig.Del(two, config(100))
		rig.Del(one, config(100))
		rig.Add(two, config(100))
	})

	It("need no addresses", func() {
		layer2 := `{"type":"vlan","master":"uplink","vlanId":100}`
		result := rig.Add(one, layer2)
		Expect(result.IPs).To(BeEmpty())
		Expect(rig.Check(one, layer2, result)).To(Succeed())
	})

	It("have the MTU of the master unless asked for a smaller one", func() {
		rig.OnHost(func() { Expect(netlink.LinkSetMTU(linkCalled("uplink"), 1200)).To(Succeed()) })
		Expect(rig.Add(one, `{"type":"vlan","master":"uplink","vlanId":100}`).Interfaces[0].Mtu).To(Equal(1200))
		Expect(rig.Add(two, `{"type":"vlan","master":"uplink","vlanId":200,"mtu":1100}`).Interfaces[0].Mtu).To(Equal(1100))
	})

	It("have the configured MTU, says CHECK, where the result states none", func() {
		const config = `{"cniVersion":"0.4.0","type":"vlan","master":"uplink","vlanId":100,"mtu":1400}`
		result := rig.Add(one, config)
		Expect(rig.Check(one, config, result)).To(Succeed())
		one.Do(func() { Expect(netlink.LinkSetMTU(linkCalled("eth0"), 1300)).To(Succeed()) })
		Expect(rig.Check(one, config, result)).To(MatchError(ContainSubstring("eth0: mtu is 1300, expected 1400")))
	})
})

var _ = DescribeTable("a master that does not suit",
	func(before func(netlink.Link) error, config, want string) {
		rig := testrig.New(Plugin, ipamPath())
		rig.Outside(nil, nil)
		rig.OnHost(func() { Expect(before(linkCalled("uplink"))).To(Succeed()) })
		_, err := rig.Call("ADD", rig.Container("one"), config)
		Expect(err).To(MatchError(ContainSubstring(want)))
		_, err = rig.Call("STATUS", rig.Container("one"), config)
		Expect(err).To(MatchError(ContainSubstring(want)))
		Expect(testrig.Code(err)).To(Equal(plugin.ErrNotAvailable))
	},
	Entry("because it is missing", netlink.LinkDel, `{"type":"vlan","master":"uplink"}`,
		`master: there is no interface "uplink" on the host`),
	Entry("because it is down", netlink.LinkSetDown, `{"type":"vlan","master":"uplink"}`,
		"master: uplink is down, and so a VLAN of it cannot be up"),
	Entry("because its MTU is smaller", netlink.LinkSetUp, `{"type":"vlan","master":"uplink","mtu":1501}`,
		"mtu: 1501 is greater than 1500, the MTU of the master uplink"),
)

func linkCalled(name string) netlink.Link {
	GinkgoHelper()
	l, err := netlink.LinkByName(name)
	Expect(err).NotTo(HaveOccurred())
	return l
}

// addVLAN makes the outside a member of a VLAN.
func addVLAN(outside ns.NetNS, id int, address string) {
	GinkgoHelper()
	Expect(outside.Do(func(ns.NetNS) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = fmt.Sprintf("vlan%d", id), linkCalled("uplink").Attrs().Index
		vlan := &netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
		if err := netlink.LinkAdd(vlan); err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(vlan, addr); err != nil {
			return err
		}
		return netlink.LinkSetUp(vlan)
	})).To(Succeed())
}
