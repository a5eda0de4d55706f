// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddAddress gives l an address. With noDAD, an IPv6 address is usable at once,
// rather than after the second or two that duplicate address detection takes.
func AddAddress(l netlink.Link, address *net.IPNet, noDAD bool) error {
	return AddAddressThrough(&netlink.Handle{}, l, address, noDAD) // opens a socket for the call
}

// AddAddressThrough is AddAddress through an open handle.
func AddAddressThrough(handle *netlink.Handle, l netlink.Link, address *net.IPNet, noDAD bool) error {
	addr := &netlink.Addr{IPNet: address}
	if noDAD && address.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := handle.AddrAdd(l, addr); err != nil {
		return fmt.Errorf("add the address %s to %s: %w", address, l.Attrs().Name, err)
	}
	return nil
}
