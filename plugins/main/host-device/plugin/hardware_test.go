// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// Hardware that the kernel itself brings home, in a machine that has some to
// spare.
var _ = Describe("a network card", func() {
	var (
		rig    *testrig.Rig
		c      *testrig.Container
		name   string
		pci    string
		before string
		gone   bool
	)
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "spare-nic")
		rig = testrig.New(Plugin, ipamPath())
		initial, err := ns.GetNS(testutils.InitialNetns)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(initial.Close)
		rig.Host = initial
		rig.OnHost(func() {
			card, err := testutils.SpareNIC()
			Expect(err).NotTo(HaveOccurred())
			name = card.Attrs().Name
		})
		pci = sysfs("/sys").pciID(name)
		Expect(pci).NotTo(BeEmpty())
		before, gone = testrig.Snapshot(rig.Host), false

		netns, err := testutils.NewNS()
		Expect(err).NotTo(HaveOccurred())
		c = &testrig.Container{ID: "one", IfName: "net1", Netns: netns, Path: netns.Path()}
		DeferCleanup(func() {
			if !gone {
				Expect(errors.Join(netns.Close(), testutils.UnmountNS(netns))).To(Succeed())
			}
		})
	})
	// vanish takes the namespace away and waits for what the kernel does then.
	vanish := func() {
		GinkgoHelper()
		gone = true
		Expect(errors.Join(c.Netns.Close(), testutils.UnmountNS(c.Netns))).To(Succeed())
		Eventually(func() error {
			_, err := ns.Call(rig.Host, func() (netlink.Link, error) { return netlink.LinkByName(c.IfName) })
			return err
		}, "20s", "50ms").Should(Succeed())
	}
	config := func() string {
		return `{"type":"host-device","pciBusID":"` + pci + `","ipam":{"type":"static","addresses":[{"address":"10.0.0.5/24"}]}}`
	}

	It("is lent by its PCI address, and comes home", func() {
		result := rig.Add(c, config())
		Expect(result.Interfaces[0].PciID).To(Equal(pci))
		Expect(rig.Check(c, config(), result)).To(Succeed())
		_, err := rig.Call("STATUS", c, config())
		Expect(err).To(MatchError(ContainSubstring("it may be in a container")))
		rig.Del(c, config())
		Expect(testrig.Snapshot(rig.Host)).To(Equal(before))
	})

	It("gets its name back by DEL after the namespace has gone", func() {
		rig.Add(c, config())
		vanish()
		rig.Del(c, config())
		Expect(testrig.Snapshot(rig.Host)).To(Equal(before))
		rig.Del(c, config())
	})

	It("gets its name back by GC after the namespace has gone", func() {
		rig.Add(c, config())
		vanish()
		_, err := rig.Call("GC", c, `{"type":"host-device"}`)
		Expect(err).NotTo(HaveOccurred())
		Expect(testrig.Snapshot(rig.Host)).To(Equal(before))
	})

	It("is found under its name by the next ADD", func() {
		rig.Add(c, config())
		vanish()
		other := rig.Container("two")
		byName := `{"type":"host-device","device":"` + name + `"}`
		rig.Add(other, byName)
		rig.Del(other, byName)
		Expect(testrig.Snapshot(rig.Host)).To(Equal(before))
	})
})
