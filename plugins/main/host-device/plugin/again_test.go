// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/undo"
)

var _ = Describe("a second ADD of an attachment, for another device", func() {
	var (
		rig                  *testrig.Rig
		c                    *testrig.Container
		expectNothingChanged func()
	)
	const another = `{"type":"host-device","device":"nic1","ipam":{"type":"static","addresses":[{"address":"10.0.0.5/24"}]}}`
	onRecord := func() (found *intent.Intent) {
		rig.OnHost(func() { found = store().Get(lentTo()) })
		return found
	}

	BeforeEach(func() {
		rig, c = withNIC()
		rig.OnHost(func() { standIn("nic1", "02:00:00:00:00:02", 1500, false) })
		expectNothingChanged = rig.Remember(c)
		rig.Add(c, wantsIt)
	})

	DescribeTable("fails and leaves the first interface where it is, and on record",
		func(more func(netlink.Link)) {
			c.Rename("net1", "renamed")
			c.Do(func() { more(testrig.Find("renamed")) })
			recorded, there := onRecord(), testrig.Snapshot(rig.Host, c.Netns)
			_, err := rig.Call("ADD", c, another)
			Expect(err).To(MatchError(ContainSubstring(`interface "renamed" already exists in the container`)))
			Expect(onRecord()).To(Equal(recorded))
			Expect(testrig.Snapshot(rig.Host, c.Netns)).To(Equal(there))
			rig.Del(c, another)
			expectNothingChanged()
		},
		Entry("under another name", func(netlink.Link) {}),
		Entry("also without marks", func(l netlink.Link) {
			Expect(link.RemoveAltNames(l.Attrs().Index, marks(l)...)).To(Succeed())
		}),
	)

	It("that fails leaves the first interface on record, wherever the container has put it", func() {
		nested := rig.Container("nested")
		c.Do(func() { Expect(netlink.LinkSetNsFd(testrig.Find("net1"), int(nested.Netns.Fd()))).To(Succeed()) })
		recorded, there := onRecord(), testrig.Snapshot(rig.Host, c.Netns, nested.Netns)
		for at := 1; ; at++ {
			fault := &undo.Fault{At: at}
			_, err := rig.CallWith(undo.WithFault(context.Background(), fault), "ADD", c, another)
			if fault.Fired == "" {
				Expect(err).NotTo(HaveOccurred())
				Expect(at).To(BeNumerically(">", 3))
				break
			}
			Expect(err).To(MatchError(Not(ContainSubstring("undo "))))
			Expect(onRecord()).To(Equal(recorded), fault.Fired)
			Expect(testrig.Snapshot(rig.Host, c.Netns, nested.Netns)).To(Equal(there))
		}
	})
})
