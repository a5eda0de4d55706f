// SPDX-License-Identifier: Apache-2.0

//go:build linux

package loopback

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/testrig"
)

var _ = Describe("loopback", func() {
	var rig *testrig.Rig
	var c *testrig.Container

	BeforeEach(func() {
		rig = testrig.New(Plugin, "")
		c = rig.Container("one")
		c.IfName = "whatever"
		c.Do(func() { Expect(netlink.LinkSetDown(lo())).To(Succeed()) })
	})

	It("comes up with ADD, and its addresses answer; goes down with DEL", func() {
		result := rig.Add(c, `{}`)
		Expect(result.Interfaces[0].Name).To(Equal("lo"))
		Expect(result.IPs[0].Address.String()).To(Equal("127.0.0.1/8"))
		Expect(testrig.Reach(c.Netns, c.Netns, "127.0.0.1")).To(Equal("127.0.0.1"))
		Expect(testrig.Reach(c.Netns, c.Netns, "::1")).To(Equal("::1"))
		Expect(rig.Check(c, `{}`, result)).To(Succeed())
		rig.Del(c, `{}`)
		c.Do(func() { Expect(lo().Attrs().Flags & net.FlagUp).To(BeZero()) })
		Expect(rig.Check(c, `{}`, result)).To(MatchError(ContainSubstring("lo: the interface is down")))
	})

	DescribeTable("does not look at CNI_IFNAME",
		func(ifName string) {
			c.IfName = ifName
			result := rig.Add(c, `{}`)
			Expect(result.Interfaces[0].Name).To(Equal("lo"))
			Expect(rig.Check(c, `{}`, result)).To(Succeed())
			rig.Del(c, `{}`)
		},
		Entry("which names the parameters of all interfaces", "all"),
		Entry("which names those of new ones", "default"),
		Entry("of which the kernel would make another", "net%d"),
	)

	It("has the addresses that ADD reported, says CHECK", func() {
		result := rig.Add(c, `{}`)
		Expect(rig.Check(c, `{}`, result)).To(Succeed())
		testrig.IP(c.Netns, "addr del 127.0.0.1/8 dev lo")
		Expect(rig.Check(c, `{}`, result)).To(MatchError(ContainSubstring("lo: the address 127.0.0.1/8 is missing")))
		testrig.IP(c.Netns, "addr del ::1/128 dev lo")
		Expect(rig.Check(c, `{}`, result)).To(MatchError(ContainSubstring("lo: the address 127.0.0.1/8 is missing; lo: the address ::1/128 is missing")))
		result.IPs = nil
		Expect(rig.Check(c, `{}`, result)).To(Succeed(), "of none that it reported")
		eth0 := &current.Interface{Name: "eth0", Sandbox: c.Path}
		elsewhere := []*current.IPConfig{{Interface: current.Int(0), Address: net.IPNet{IP: net.IP{10, 1, 2, 3}, Mask: net.CIDRMask(24, 32)}}}
		Expect(rig.Check(c, `{}`, &current.Result{CNIVersion: "1.0.0", Interfaces: []*current.Interface{eth0}, IPs: elsewhere})).To(Succeed(), "of another interface")
		elsewhere[0].Interface = nil
		Expect(rig.Check(c, `{}`, &current.Result{CNIVersion: "1.0.0", Interfaces: []*current.Interface{eth0, {Name: "lo", Sandbox: c.Path}}, IPs: elsewhere})).
			To(Succeed(), "of no interface")
	})

	It("passes the result of an earlier plugin on", func() {
		stdout, err := rig.Call("ADD", c, `{"cniVersion":"0.4.0","prevResult":{"cniVersion":"0.4.0",
			"interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"version":"4","address":"10.0.0.2/8","interface":0}]}}`)
		Expect(err).NotTo(HaveOccurred())
		Expect(stdout).To(ContainSubstring(`"version": "4"`))
		Expect(testrig.Result(stdout).Interfaces[0].Name).To(Equal("eth0"))
	})

	It("refuses an address that is no loopback address, and undoes what it did", func() {
		c.Do(func() {
			Expect(netlink.AddrAdd(lo(), &netlink.Addr{IPNet: &net.IPNet{IP: net.IP{10, 9, 8, 7}, Mask: net.CIDRMask(32, 32)}})).To(Succeed())
		})
		_, err := rig.Call("ADD", c, `{}`)
		Expect(err).To(MatchError(ContainSubstring("lo has the address 10.9.8.7/32, which is no loopback address")))
		c.Do(func() { Expect(lo().Attrs().Flags & net.FlagUp).To(BeZero()) })
	})

	It("needs no configuration beyond the common keys", func() {
		Expect(Plugin.Lint([]byte(`{"name":"n","type":"loopback"}`))).To(Succeed())
		Expect(Plugin.Lint([]byte(`{"name":"n","mtu":1}`))).NotTo(Succeed())
	})
})

func lo() netlink.Link {
	GinkgoHelper()
	l, err := netlink.LinkByName(name)
	Expect(err).NotTo(HaveOccurred())
	return l
}
