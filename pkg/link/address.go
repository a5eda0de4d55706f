// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
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

// RemoveAddresses takes addresses off l, with one system call: a process that
// is killed has removed all of them or none. An address that is not there, or a
// link that is gone, is a success.
func RemoveAddresses(l netlink.Link, addresses []*net.IPNet) error {
	if len(addresses) == 0 {
		return nil
	}
	var removals []*nl.NetlinkRequest
	for _, address := range addresses {
		removals = append(removals, removal(l, address))
	}
	answers, err := Batch(removals...)
	for _, answer := range answers {
		if answer != nil && !errors.Is(answer, unix.EADDRNOTAVAIL) && !IsNotFound(answer) {
			err = errors.Join(err, answer)
		}
	}
	if err != nil {
		return fmt.Errorf("remove the addresses of %s: %w", l.Attrs().Name, err)
	}
	return nil
}

func removal(l netlink.Link, address *net.IPNet) *nl.NetlinkRequest {
	ip, family := address.IP.To4(), unix.AF_INET
	if ip == nil {
		ip, family = address.IP.To16(), unix.AF_INET6
	}
	ones, _ := address.Mask.Size()
	request := nl.NewNetlinkRequest(unix.RTM_DELADDR, unix.NLM_F_ACK)
	msg := nl.NewIfAddrmsg(family)
	msg.Index = uint32(l.Attrs().Index)
	msg.Prefixlen = uint8(ones)
	request.AddData(msg)
	request.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
	return request
}
