// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/link"
)

var _ = Describe("GC while the container is there", func() {
	var (
		rig                  *testrig.Rig
		c                    *testrig.Container
		expectNothingChanged func()
	)

	BeforeEach(func() {
		rig, c = withNIC()
		expectNothingChanged = rig.Remember(c)
		rig.Add(c, wantsIt)
	})
	stays := func(config string) {
		GinkgoHelper()
		before := testrig.Snapshot(rig.Host, c.Netns)
		_, err := rig.Call("GC", c, config)
		Expect(err).NotTo(HaveOccurred())
		Expect(testrig.Snapshot(rig.Host, c.Netns)).To(Equal(before))
	}

	It("brings an interface home whose attachment is not valid", func() {
		collectNone(rig, c)
		expectNothingChanged()
		Expect(hasRecord(rig)).To(BeFalse())
	})

	It("leaves it where it is if the attachment is valid, or another network's", func() {
		stays(`{"type":"host-device","cni.dev/valid-attachments":[{"containerID":"one","ifname":"net1"}]}`)
		stays(`{"type":"host-device","name":"other"}`)
		Expect(hasRecord(rig)).To(BeTrue())
		rig.Del(c, wantsIt)
		expectNothingChanged()
	})

	It("leaves it where it is as long as its name on the host is taken, and says so", func() {
		rig.OnHost(func() { standIn("nic0", "02:00:00:00:00:09", 1500, false) })
		before := testrig.Snapshot(rig.Host, c.Netns)
		_, err := rig.Call("GC", c, `{"type":"host-device","cni.dev/valid-attachments":[]}`)
		Expect(err).To(MatchError(ContainSubstring(`interface "nic0" already exists on the host`)))
		Expect(testrig.Snapshot(rig.Host, c.Netns)).To(Equal(before))
		Expect(hasRecord(rig)).To(BeTrue())
	})

	It("does not look into another namespace that has the path by now", func() {
		other := rig.Container("two")
		other.Do(func() {
			standIn("net1", "02:00:00:00:00:08", 1500, true)
			Expect(link.AddAltNames(testrig.Find("net1").Attrs().Index, "owner:test:one:net1", "home:nic0:up:1400::")).To(Succeed())
		})
		Expect(unix.Mount(other.Path, c.Path, "", unix.MS_BIND, "")).To(Succeed())
		DeferCleanup(func() { Expect(unix.Unmount(c.Path, 0)).To(Succeed()) })
		before := testrig.Snapshot(rig.Host, c.Netns, other.Netns)
		collectNone(rig, c)
		Expect(testrig.Snapshot(rig.Host, c.Netns, other.Netns)).To(Equal(before))
	})
})
