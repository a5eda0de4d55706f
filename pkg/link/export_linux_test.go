// SPDX-License-Identifier: Apache-2.0

package link

import "github.com/vishvananda/netlink"

// What only older kernels need, to be tested on all.

// FindPair is what CreateVeth does where the kernel has no echo.
func FindPair(spec VethSpec) (host, container netlink.Link, err error) {
	return findPair(spec.Host, spec.Container)
}

// PeerFromStatistics is what FindVeth does where the link message has no peer.
func PeerFromStatistics(name string) (int, error) { return peerFromStatistics(name) }

// CreateAndRename is what CreateIn does where the kernel looks for the name in
// the wrong namespace.
func CreateAndRename(container Netns, l netlink.Link, name string) (netlink.Link, error) {
	handle, err := handleIn(container)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	return createAndRename(handle, container, l, name)
}
