// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/link"
)

var _ = Describe("what a container has written on an interface", func() {
	var (
		rig                  *testrig.Rig
		c                    *testrig.Container
		expectNothingChanged func()
	)

	BeforeEach(func() {
		rig, c = withNIC()
		rig.OnHost(func() {
			l := testrig.Find("nic0")
			Expect(link.AddAltNames(l.Attrs().Index, "enp0s5")).To(Succeed())
			Expect(netlink.LinkSetTxQLen(l, 700)).To(Succeed())
			Expect(netlink.LinkSetAllmulticastOn(l)).To(Succeed())
			Expect(netlink.LinkSetGroup(l, 5)).To(Succeed())
			standIn("docker0", "02:00:00:00:00:09", 1500, false)
		})
		expectNothingChanged = rig.Remember(c)
		rig.Add(c, wantsIt)
		c.Do(func() {
			l := testrig.Find("net1")
			attrs := l.Attrs()
			Expect(attrs.AltNames).To(ContainElement("enp0s5"))
			other, _ := net.ParseMAC("02:00:00:00:00:66")
			Expect(netlink.LinkSetHardwareAddr(l, other)).To(Succeed())
			Expect(netlink.LinkSetTxQLen(l, 77)).To(Succeed())
			Expect(netlink.SetPromiscOn(l)).To(Succeed())
			Expect(netlink.LinkSetAllmulticastOff(l)).To(Succeed())
			Expect(netlink.LinkSetMulticastOff(l)).To(Succeed())
			Expect(netlink.LinkSetARPOff(l)).To(Succeed())
			Expect(netlink.LinkSetGroup(l, 7)).To(Succeed())
			Expect(link.RemoveAltNames(attrs.Index, "enp0s5", attrs.AltNames[1])).To(Succeed())
			Expect(link.AddAltNames(attrs.Index, "home:lo:down:1500::02:00:00:00:00:99", "owner:test:two:net1", "cni0")).To(Succeed())
		})
	})

	clash := func() {
		c.Do(func() { Expect(link.AddAltNames(testrig.Find("net1").Attrs().Index, "docker0")).To(Succeed()) })
	}
	noRecord := func() { rig.OnHost(func() { Expect(discard(lentTo())).To(Succeed()) }) }
	noMarks := func() {
		c.Do(func() {
			l := testrig.Find("net1")
			Expect(link.RemoveAltNames(l.Attrs().Index, marks(l)...)).To(Succeed())
			Expect(netlink.LinkSetAlias(l, "lo")).To(Succeed())
		})
	}

	It("does not leave the group to which it belongs", func() {
		rig.Del(c, wantsIt)
		rig.OnHost(func() {
			attrs := testrig.Find("nic0").Attrs()
			Expect(attrs.Group).To(BeEquivalentTo(5))
			Expect(attrs.RawFlags & unix.IFF_NOARP).To(BeZero())
			Expect(attrs.RawFlags & unix.IFF_MULTICAST).NotTo(BeZero())
		})
	})

	It("stays in what a record of an earlier version does not have", func() {
		rig.OnHost(func() {
			i := store().Get(lentTo())
			var r record
			Expect(json.Unmarshal(i.Content, &r)).To(Succeed())
			r.Traits.More = nil
			content, err := json.Marshal(r)
			Expect(err).NotTo(HaveOccurred())
			i.Content = content
			Expect(store().Put(*i)).To(Succeed())
		})
		rig.Del(c, wantsIt)
		rig.OnHost(func() {
			attrs := testrig.Find("nic0").Attrs()
			Expect(attrs.Group).To(BeEquivalentTo(7))
			Expect(attrs.RawFlags & unix.IFF_NOARP).NotTo(BeZero())
		})
	})

	DescribeTable("does not come home with it",
		func(before ...func()) {
			for _, step := range before {
				step()
			}
			rig.Del(c, `{"hwaddr":"02:00:00:00:00:66"}`)
			expectNothingChanged()
			rig.OnHost(func() { Expect(kept(lentTo())).To(BeNil()) })
		},
		Entry("by DEL"),
		Entry("by DEL, when another has such a name", clash),
		Entry("by DEL, as little as that it has removed the marks", noMarks),
		Entry("when the kernel has brought it home, by DEL", func() { comesBackAs(rig, c, "net1") }),
		Entry("when the kernel has brought it home, by GC", func() {
			comesBackAs(rig, c, "net1")
			collectNone(rig, c)
		}),
	)

	It("keeps no DEL from succeeding where there is no record, either", func() {
		c.Do(func() {
			l := testrig.Find("net1")
			Expect(link.RemoveAltNames(l.Attrs().Index, marks(l)...)).To(Succeed())
			Expect(link.AddAltNames(l.Attrs().Index, "owner:test:one:net1", "home:nic0:up:1400::")).To(Succeed())
		})
		clash()
		noRecord()
		rig.Del(c, wantsIt)
		rig.OnHost(func() { Expect(links()).To(ConsistOf("lo", "docker0", "nic0")) })
	})

	It("may be as much as the kernel takes", func() {
		c.Do(func() {
			l := testrig.Find("net1")
			var err error
			for i := 0; err == nil; i++ {
				err = link.AddAltNames(l.Attrs().Index, fmt.Sprintf("%03d", i)+strings.Repeat("x", 120))
			}
		})
		rig.Del(c, wantsIt)
		expectNothingChanged()
	})
})
