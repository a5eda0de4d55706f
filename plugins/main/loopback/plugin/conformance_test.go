// SPDX-License-Identifier: Apache-2.0

//go:build linux

package loopback

import (
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(suite())

func suite() conformance.Suite {
	return conformance.Suite{
		Plugin:        Plugin,
		Dir:           "plugins/main/loopback",
		IPAM:          plugin.NoIPAM,
		IgnoresIfName: true,
		Config:        func(*conformance.Host) conformance.Object { return conformance.Object{} },
		Breakages: []conformance.Breakage{{What: "the interface is down", Want: "lo: the interface is down",
			Do: func(a conformance.Attachment) error {
				return a.Container.Do(func() error { return conformance.OnLink("lo", netlink.LinkSetDown) })
			}}},
	}
}
