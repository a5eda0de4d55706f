// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/link"
)

var _ = Describe("an interface from which the container has taken what was written on it", func() {
	var (
		rig                  *testrig.Rig
		c                    *testrig.Container
		expectNothingChanged func()
		plain                string // the container without it
	)
	const another = `{"type":"host-device","device":"nic7"}`

	BeforeEach(func() {
		rig, c = withNIC()
		expectNothingChanged = rig.Remember(c)
		plain = testrig.Snapshot(c.Netns)
		rig.Add(c, wantsIt)
	})

	inContainer := func(step func(netlink.Link)) func() {
		return func() { c.Do(func() { step(testrig.Find(c.IfName)) }) }
	}
	noMarks := inContainer(func(l netlink.Link) {
		Expect(link.RemoveAltNames(l.Attrs().Index, marks(l)...)).To(Succeed())
	})
	noAlias := inContainer(func(l netlink.Link) { Expect(netlink.LinkSetAlias(l, "x")).To(Succeed()) })
	noMAC := inContainer(func(l netlink.Link) {
		other, _ := net.ParseMAC("02:00:00:00:00:99")
		Expect(netlink.LinkSetHardwareAddr(l, other)).To(Succeed())
	})
	noName := func() { c.Rename("net1", "mine") }
	// dressUp makes an interface that says that it is the one.
	dressUp := inContainer(func(l netlink.Link) {
		stolen := marks(l)
		Expect(link.RemoveAltNames(l.Attrs().Index, stolen...)).To(Succeed())
		standIn("fake", "02:00:00:00:00:98", 1500, true)
		fake := testrig.Find("fake")
		Expect(link.AddAltNames(fake.Attrs().Index, stolen...)).To(Succeed())
		Expect(netlink.LinkSetAlias(fake, "nic0")).To(Succeed())
	})
	// elsewhere is a namespace that the container has made.
	elsewhere := func() *testrig.Container {
		nested := rig.Container("nested")
		nested.IfName = "net1"
		return nested
	}
	move := func(from, to *testrig.Container) {
		GinkgoHelper()
		from.Do(func() { Expect(netlink.LinkSetNsFd(testrig.Find("net1"), int(to.Netns.Fd()))).To(Succeed()) })
	}

	DescribeTable("comes home by DEL", func(config string, steps ...func()) {
		for _, step := range steps {
			step()
		}
		rig.Del(c, config)
		expectNothingChanged()
		Expect(hasRecord(rig)).To(BeFalse())
	},
		Entry("without marks, when the configuration names another device", another, noMarks),
		Entry("without marks and alias", wantsIt, noMarks, noAlias),
		Entry("without marks and alias, when the configuration does not say which", `{}`, noMarks, noAlias),
		Entry("under another address", wantsIt, noMarks, noAlias, noMAC),
		Entry("under another name", wantsIt, noMarks, noAlias, noMAC, noName),
		Entry("that has been in another namespace of the container's", wantsIt, noMarks, noAlias, func() {
			nested := elsewhere()
			move(c, nested)
			move(nested, c)
		}),
	)

	It("comes home by DEL, rather than another that says that it is the one", func() {
		dressUp()
		noAlias()
		rig.Del(c, wantsIt)
		c.Do(func() { Expect(netlink.LinkDel(testrig.Find("fake"))).To(Succeed()) })
		expectNothingChanged()
	})

	DescribeTable("comes home after the kernel has brought it back to the host",
		func(name string, how func()) {
			noMarks()
			noAlias()
			comesBackAs(rig, c, name)
			c.Path = ""
			how()
			expectNothingChanged()
			Expect(hasRecord(rig)).To(BeFalse())
		},
		Entry("by DEL", "net1", func() { rig.Del(c, wantsIt) }),
		Entry("by DEL, whatever the kernel calls it", "dev7", func() { rig.Del(c, `{}`) }),
		Entry("by GC", "mine", func() { collectNone(rig, c) }),
	)

	It("stays as it is when somebody has brought it home, and uses it", func() {
		noMarks()
		noAlias()
		comesBackAs(rig, c, "storage0")
		rig.OnHost(func() { Expect(netlink.LinkSetUp(testrig.Find("storage0"))).To(Succeed()) })
		before := testrig.Snapshot(rig.Host)
		rig.Del(c, wantsIt)
		Expect(testrig.Snapshot(rig.Host)).To(Equal(before))
		Expect(hasRecord(rig)).To(BeFalse())
	})

	It("is known until it is home, wherever the container has put it meanwhile", func() {
		noMarks()
		noAlias()
		nested := elsewhere()
		move(c, nested)
		rig.Del(c, wantsIt)
		collectNone(rig, c)
		Expect(hasRecord(rig)).To(BeTrue())
		move(nested, c)
		rig.Del(c, wantsIt)
		expectNothingChanged()
		Expect(hasRecord(rig)).To(BeFalse())
	})

	It("is not what the container has put into its place", func() {
		var index int
		inContainer(func(l netlink.Link) {
			index = l.Attrs().Index
			Expect(netlink.LinkDel(l)).To(Succeed())
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.Index, attrs.Alias = "net1", index, "nic0"
			Expect(netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP})).To(Succeed())
			Expect(netlink.LinkSetAlias(testrig.Find("net1"), "nic0")).To(Succeed())
		})()
		before := testrig.Snapshot(rig.Host, c.Netns)
		rig.Del(c, wantsIt)
		collectNone(rig, c)
		Expect(testrig.Snapshot(rig.Host, c.Netns)).To(Equal(before))
	})

	It("is the next container's when that has it", func() {
		noMarks()
		noAlias()
		comesBackAs(rig, c, "nic0")
		c.IfName = "net2"
		rig.Add(c, wantsIt)
		noMarks()
		noAlias()
		before := testrig.Snapshot(rig.Host, c.Netns)
		c.IfName = "net1"
		rig.Del(c, wantsIt)
		Expect(testrig.Snapshot(rig.Host, c.Netns)).To(Equal(before))
		Expect(hasRecord(rig)).To(BeFalse())
		c.IfName = "net2"
		rig.Del(c, wantsIt)
		Expect(testrig.Snapshot(c.Netns)).To(Equal(plain))
	})
})
