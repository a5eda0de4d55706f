// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"github.com/vishvananda/netlink"
)

// MasterName is the link of the host on top of which plugins put theirs.
const MasterName = "master0"

const masterPeer = MasterName + "p"

// MakeMaster is a Prepare that makes the master. It is up and has no carrier:
// where nobody can answer, no plugin waits for duplicate address detection.
func MakeMaster(*Host) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = MasterName
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: masterPeer}); err != nil {
		return err
	}
	return OnLink(MasterName, netlink.LinkSetUp)
}

// RemoveMaster is a Vanish that removes the master, and with it what is on top.
func RemoveMaster(*Host) error { return OnLink(MasterName, netlink.LinkDel) }

// RenewMaster is a breakage's Do that gives the master's name to another link.
func RenewMaster(a Attachment) error {
	return a.Host.Do(func() error {
		for _, name := range []string{MasterName, masterPeer} {
			if err := OnLink(name, setAside); err != nil {
				return err
			}
		}
		return MakeMaster(a.Host)
	})
}

// setAside renames a link, which older kernels do only while it is down.
func setAside(l netlink.Link) error {
	if err := netlink.LinkSetDown(l); err != nil {
		return err
	}
	return netlink.LinkSetName(l, "old-"+l.Attrs().Name)
}
