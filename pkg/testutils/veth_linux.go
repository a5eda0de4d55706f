// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/ns"
)

// OnVethPair runs fn in a network namespace that has a veth pair, left and right,
// which is down. fn may fail the test and panic as it could outside.
func OnVethPair(tb TB, fn func()) {
	tb.Helper()
	Need(tb, "root", "veth")
	netns, err := ns.TempNetNS()
	if err != nil {
		tb.Fatalf("make a network namespace: %v", err)
	}
	defer netns.Close()
	err = netns.Do(func(ns.NetNS) error {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "left"}, PeerName: "right"}); err != nil {
			return err
		}
		fn()
		return nil
	})
	if err != nil {
		tb.Fatalf("make a veth pair: %v", err)
	}
}
