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

	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// AddAddress makes the change Address.
func AddAddress(l netlink.Link, address *net.IPNet, noDAD bool) error {
	return Apply(Address(l, address, noDAD))
}

// RemoveAddresses takes addresses off l, with one system call: a process that
// is killed has removed all of them or none. An address that is not there, or a
// link that is gone, is a success.
func RemoveAddresses(l netlink.Link, addresses []netlink.Addr) error {
	if len(addresses) == 0 {
		return nil
	}
	var removals []*nl.NetlinkRequest
	for _, address := range addresses {
		removals = append(removals, removal(l, address))
	}
	return takeOff(l, removals...)
}

// RemoveAddressAlone takes an address off l, and nothing else. For the kernel,
// others of an IPv4 subnet are secondary to the first: they, and routes with
// them, go along with it unless they may be promoted, which is allowed meanwhile.
func RemoveAddressAlone(l netlink.Link, address netlink.Addr) error {
	allowed, _ := sysctl.Sysctl("net/ipv4/conf/" + l.Attrs().Name + "/promote_secondaries")
	if address.IP.To4() == nil || allowed == "1" {
		return RemoveAddresses(l, []netlink.Addr{address})
	}
	set := func(value uint32) *nl.NetlinkRequest {
		return inetParameter(l, "promote_secondaries", promoteSecondaries, value).Request
	}
	return takeOff(l, set(1), removal(l, address), set(0))
}

func takeOff(l netlink.Link, requests ...*nl.NetlinkRequest) error {
	answers, err := Batch(requests...)
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

// removal is the message that removes an address. Without IFA_ADDRESS, which is
// that of the peer if there is one, the kernel takes the first of IPv4 with this
// IP, whatever its prefix length is. With a peer, that is the length of the peer's.
func removal(l netlink.Link, address netlink.Addr) *nl.NetlinkRequest {
	ip, family := wire(address.IP)
	network := address.IPNet
	if address.Peer != nil {
		network = address.Peer
	}
	other, _ := wire(network.IP)
	ones, _ := network.Mask.Size()
	request := nl.NewNetlinkRequest(unix.RTM_DELADDR, unix.NLM_F_ACK)
	msg := nl.NewIfAddrmsg(family)
	msg.Index = uint32(l.Attrs().Index)
	msg.Prefixlen = uint8(ones)
	request.AddData(msg)
	request.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
	request.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, other))
	return request
}
