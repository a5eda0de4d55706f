// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// ErrLinkNotFound is what DelLinkByName and DelLinkByNameAddr return, as it is,
// for a link that does not exist.
var ErrLinkNotFound = link.ErrNotFound

// SETTLE_INTERVAL is the pause between two looks at addresses that settle.
//
// Deprecated: SettleAddresses waits for events and never pauses.
const SETTLE_INTERVAL = 50 * time.Millisecond

// RenameLink renames the link called curName. Kernels before 6.2 refuse it for
// a link that is up. The errors are those of the netlink library, as they are, since
// callers compare them with ==: netlink.LinkNotFoundError, or a syscall.Errno.
func RenameLink(curName, newName string) error {
	l, err := netlinksafe.LinkByName(curName)
	if err != nil {
		return err
	}
	return netlink.LinkSetName(l, newName)
}

// DelLinkByName deletes the link called ifName. If there is none, the error is
// ErrLinkNotFound.
func DelLinkByName(ifName string) error {
	l, err := link.Find(ifName)
	if err != nil {
		return bareNotFound(err)
	}
	return deleteLink(l)
}

// DelLinkByNameAddr deletes the link called ifName and returns the global
// unicast addresses it had, host bits included. If there is no such link, the
// error is ErrLinkNotFound.
func DelLinkByNameAddr(ifName string) ([]*net.IPNet, error) {
	l, err := link.Find(ifName)
	if err != nil {
		return nil, bareNotFound(err)
	}
	addresses, err := globalAddresses(l)
	if err != nil {
		return nil, bareNotFound(err)
	}
	return addresses, deleteLink(l)
}

func deleteLink(l netlink.Link) error {
	if err := netlink.LinkDel(l); err != nil {
		return bareNotFound(fmt.Errorf("delete link %q: %w", l.Attrs().Name, err))
	}
	return nil
}

// bareNotFound returns ErrLinkNotFound alone where err means that: callers
// compare it with ==.
func bareNotFound(err error) error {
	if link.IsNotFound(err) {
		return ErrLinkNotFound
	}
	return err
}

func globalAddresses(l netlink.Link) ([]*net.IPNet, error) {
	addresses, err := netlinksafe.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses of %q: %w", l.Attrs().Name, err)
	}
	global := []*net.IPNet{}
	for _, addr := range addresses {
		if addr.IP.IsGlobalUnicast() {
			global = append(global, addr.IPNet)
		}
	}
	return global, nil
}

// GetVethPeerIfindex returns the veth called ifName and the index of its peer,
// which means something only in the peer's network namespace.
func GetVethPeerIfindex(ifName string) (netlink.Link, int, error) { return link.FindVeth(ifName) }

// SettleAddresses waits at most timeout until the IPv6 addresses of the link
// called ifName are usable, that is, known to be nobody else's. On a link
// without carrier that cannot be found out and is not waited for.
func SettleAddresses(ifName string, timeout time.Duration) error {
	l, err := link.Find(ifName)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return link.WaitDAD(ctx, l.Attrs().Index)
}
