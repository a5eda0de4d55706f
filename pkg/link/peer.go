// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"fmt"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
)

// FindVeth returns the veth called name and the index of its peer, which
// means something only in the peer's network namespace.
func FindVeth(name string) (netlink.Link, int, error) {
	l, err := Find(name)
	if err != nil {
		return nil, -1, err
	}
	if l.Type() != "veth" {
		return nil, -1, fmt.Errorf("link %q is of type %s, not veth", name, l.Type())
	}
	if peer := l.Attrs().ParentIndex; peer > 0 {
		return l, peer, nil
	}
	peer, err := peerFromStatistics(name)
	if err != nil {
		return nil, -1, err
	}
	return l, peer, nil
}

// peerFromStatistics asks the driver of a veth for its peer. The link message
// leaves it out on old kernels when both ends, in different namespaces, have the
// same index.
func peerFromStatistics(name string) (int, error) {
	const counter, last = "peer_ifindex", 1<<15 - 1
	statistics, err := ethtool.Stats(name)
	if err != nil {
		return 0, fmt.Errorf("driver statistics of %q: %w", name, err)
	}
	// Statistics of other drivers, and garbage, are 64 bits wide.
	peer, ok := statistics[counter]
	if !ok || peer == 0 || peer > last {
		return 0, fmt.Errorf("driver statistics of %q: %s is %d, expected 1 to %d", name, counter, peer, last)
	}
	return int(peer), nil
}
