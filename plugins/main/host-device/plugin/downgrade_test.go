// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
)

// Upstream's plugin, after a downgrade, brings an interface home with the marks of the
// loan, and lends it again.
var _ = Describe("an interface that upstream's plugin has lent with the marks of an earlier loan", func() {
	var (
		rig         *testrig.Rig
		first, next *testrig.Container
		before      string
	)
	BeforeEach(func() {
		rig, first = withNIC()
		next = rig.Container("two")
		next.IfName = "net1"
		rig.OnHost(func() { // one that was never up, as what upstream's plugin brings home is down
			Expect(netlink.LinkDel(testrig.Find("nic0"))).To(Succeed())
			standIn("nic0", nicMAC, 1400, false)
		})
		before = testrig.Snapshot(rig.Host, first.Netns, next.Netns)
		rig.Add(first, wantsIt)
	})
	// upstreamDel and upstreamAdd do what upstream's plugin does.
	upstreamDel := func(c *testrig.Container) {
		GinkgoHelper()
		comesBackAs(rig, c, "nic0")
	}
	upstreamAdd := func(c *testrig.Container) {
		GinkgoHelper()
		rig.OnHost(func() { Expect(netlink.LinkSetNsFd(testrig.Find("nic0"), int(c.Netns.Fd()))).To(Succeed()) })
		c.Do(func() { Expect(netlink.LinkSetAlias(testrig.Find("nic0"), "nic0")).To(Succeed()) })
		c.Rename("nic0", c.IfName)
	}
	forgotten := func() { rig.OnHost(func() { Expect(discard(lentTo())).To(Succeed()) }) }
	onRecord := func() {}
	expectHome := func() {
		GinkgoHelper()
		Expect(testrig.Snapshot(rig.Host, first.Netns, next.Netns)).To(Equal(before))
	}

	DescribeTable("comes home by DEL",
		func(since func(), config string) {
			upstreamDel(first)
			upstreamAdd(next)
			since()
			rig.Del(next, config)
			expectHome()
			rig.Del(first, wantsIt)
			expectHome()
		},
		Entry("by the device's name", onRecord, wantsIt),
		Entry("by its address", onRecord, `{"hwaddr":"`+nicMAC+`"}`),
		Entry("when the earlier loan is not on record any more", forgotten, wantsIt),
	)

	DescribeTable("comes home after the kernel has brought it back to the host",
		func(name string, since func()) {
			upstreamDel(first)
			upstreamAdd(next)
			comesBackAs(rig, next, name)
			next.Path = ""
			since()
			rig.Del(next, wantsIt)
			rig.OnHost(func() {
				Expect(links()).To(ConsistOf("lo", "nic0"))
				Expect(testrig.Find("nic0").Attrs().AltNames).To(BeEmpty())
				Expect(testrig.Find("nic0").Attrs().Alias).To(BeEmpty())
			})
			rig.Del(first, wantsIt)
			expectHome()
		},
		Entry("under its name in the container", "net1", onRecord),
		Entry("under one that it made up", "dev7", onRecord),
		Entry("when the earlier loan is not on record any more", "dev7", forgotten),
	)

	It("is left to whom it is lent, by those who share the namespace", func() {
		there := testrig.Snapshot(rig.Host, first.Netns)
		with := func(id, ifName string) *testrig.Container {
			return &testrig.Container{ID: id, IfName: ifName, Netns: first.Netns, Path: first.Path}
		}
		for _, c := range []*testrig.Container{with("two", "net1"), with("two", "net2"), with("one", "net2")} {
			_, err := rig.Call("ADD", c, wantsIt)
			Expect(err).To(HaveOccurred())
			rig.Del(c, wantsIt)
			rig.Del(c, `{"hwaddr":"`+nicMAC+`"}`)
		}
		Expect(testrig.Snapshot(rig.Host, first.Netns)).To(Equal(there))
		forgotten()
		rig.Del(with("two", "net2"), wantsIt)
		rig.Del(with("one", "net2"), wantsIt)
		Expect(testrig.Snapshot(rig.Host, first.Netns)).To(Equal(there))
	})

	It("is left where it is on the host under its own name, for the DEL of its owner", func() {
		upstreamDel(first)
		there := testrig.Snapshot(rig.Host)
		rig.Del(next, wantsIt)
		Expect(testrig.Snapshot(rig.Host)).To(Equal(there))
		rig.Del(first, wantsIt)
		expectHome()
	})
})
