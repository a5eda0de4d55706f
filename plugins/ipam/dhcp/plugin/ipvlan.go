// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/utils/packetsocket"
)

// overhear has a client listen to what arrives for an ipvlan interface on its
// parent. They share a MAC address, and the kernel tells them apart by their IP
// addresses: an answer for an address that is not configured yet only comes
// through if it is broadcast on the link, too. Kea sends what it should broadcast
// to the MAC address, and that is the parent's.
func (l *lease) overhear(c client, child netlink.Link) {
	v4, ok := c.(*client4)
	if !ok || child.Type() != "ipvlan" {
		return
	}
	socket, err := l.parentSocket(child)
	if err != nil {
		l.logf("%s: only answers that are broadcast will arrive: %v", l.family, err)
		return
	}
	v4.wire.listenOn(socket)
}

// parentSocket opens a socket on the parent of a link in the namespace of the
// calling thread. The parent has to be where the daemon is.
func (l *lease) parentSocket(child netlink.Link) (*packetsocket.Socket, error) {
	if err := l.isParentHere(child); err != nil {
		return nil, err
	}
	return ns.Call(l.netns, func() (*packetsocket.Socket, error) {
		return openFiltered(child.Attrs().ParentIndex, unix.ETH_P_IP, dhcpFilter(child.Attrs().HardwareAddr))
	})
}

// isParentHere compares the numbers that the namespace of the calling thread has
// for that of the parent and for the daemon's.
func (l *lease) isParentHere(child netlink.Link) error {
	number, err := netlinksafe.NetnsID(int(l.netns.Fd()))
	if err != nil {
		return fmt.Errorf("look for the parent of %s: %w", child.Attrs().Name, err)
	}
	if number != child.Attrs().NetNsID || number == noNumber {
		return fmt.Errorf("the parent of %s is in another network namespace than the daemon", child.Attrs().Name)
	}
	return nil
}
