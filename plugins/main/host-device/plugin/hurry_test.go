// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"context"
	"errors"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// brings is a host-device plugin whose DEL does nothing but what bring does.
func brings(bring func(*plugin.Request, *Config) error) plugin.Plugin {
	d := definition("/sys")
	d.Del = func(_ context.Context, req *plugin.Request, c *Config) error { return bring(req, c) }
	return plugin.New(d)
}

var _ = Describe("several DELs of one attachment", func() {
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
	// overtake lets another DEL do everything, and then something more, between the
	// finding of the interface and what is done to it.
	overtake := func(find func(*plugin.Request, *Config) (*nic, error), then func(*plugin.Request, *Config, *nic) error, more func()) {
		GinkgoHelper()
		rig.Plugin = brings(func(req *plugin.Request, config *Config) error {
			found, err := find(req, config)
			Expect(err).NotTo(HaveOccurred())
			Expect(found).NotTo(BeNil())
			rig.Plugin = Plugin
			rig.Del(c, wantsIt)
			more()
			return then(req, config, found)
		})
		rig.Del(c, wantsIt)
	}
	settle := func(_ *plugin.Request, _ *Config, n *nic) error { return settleHome(n) }
	bring := func(req *plugin.Request, c *Config, n *nic) error {
		_, err := bringHome(req, c, n)
		return err
	}
	nothing := func() {}

	It("succeed if the first was quicker to move it", func() {
		overtake(lent, bring, nothing)
		expectNothingChanged()
	})

	It("succeed if the first was quicker to name it", func() {
		comesBackAs(rig, c, "dev7")
		overtake(returned, settle, nothing)
		expectNothingChanged()
	})

	DescribeTable("succeed if it is the next container's already",
		func(find func(*plugin.Request, *Config) (*nic, error), then func(*plugin.Request, *Config, *nic) error, prepare func()) {
			prepare()
			other := rig.Container("two")
			var there string
			overtake(find, then, func() {
				rig.Add(other, wantsIt)
				there = testrig.Snapshot(other.Netns)
			})
			Expect(testrig.Snapshot(other.Netns)).To(Equal(there))
			rig.Del(other, wantsIt)
			expectNothingChanged()
		},
		Entry("from the container", lent, bring, nothing),
		Entry("from the host", returned, settle, func() { comesBackAs(rig, c, "dev7") }),
	)

	It("succeed at once", func() {
		rig.Plugin = brings(comeHome) // without the addresses
		for range 20 {
			errs := make([]error, 8)
			var all sync.WaitGroup
			for i := range errs {
				all.Go(func() { _, errs[i] = rig.Call("DEL", c, wantsIt) })
			}
			all.Wait()
			Expect(errors.Join(errs...)).NotTo(HaveOccurred())
			expectNothingChanged()
			rig.Add(c, wantsIt)
		}
	})
})
