// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"net"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// AddrList lists the addresses of link, or of all links when it is nil, in the
// current namespace. Of one link the kernel is asked for its own only (Linux
// 4.20): a host may have thousands.
func AddrList(link netlink.Link, family int) ([]netlink.Addr, error) {
	if link == nil || link.Attrs().Index == 0 {
		return perCall().AddrList(link, family)
	}
	return retry("addresses", func() ([]netlink.Addr, error) { return addressesOf(link.Attrs().Index, family) })
}

func addressesOf(index, family int) ([]netlink.Addr, error) {
	messages, dumpErr := addressMessages(index, family)
	var addresses []netlink.Addr
	for _, message := range messages {
		header := nl.DeserializeIfAddrmsg(message)
		if int(header.Index) != index || family != netlink.FAMILY_ALL && int(header.Family) != family {
			continue
		}
		attributes, err := nl.ParseRouteAttr(message[header.Len():])
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, address(header, attributes))
	}
	return addresses, dumpErr
}

// addressMessages returns what the kernel answers.
func addressMessages(index, family int) ([][]byte, error) {
	conn, err := Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// Older kernels do not know the option, and list all.
	_ = unix.SetsockoptInt(conn.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	request := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	filter := nl.NewIfAddrmsg(family)
	filter.Index = uint32(index)
	request.AddData(filter)
	return conn.Execute(request)
}

// address is what netlink makes of such a message. An address with a peer has
// no prefix length of its own: that is the peer's (ip-address(8)).
func address(header *nl.IfAddrmsg, attributes []syscall.NetlinkRouteAttr) netlink.Addr {
	addr := netlink.Addr{LinkIndex: int(header.Index), Scope: int(header.Scope), Flags: int(header.Flags)}
	var local, peer net.IP
	for _, attribute := range attributes {
		switch attribute.Attr.Type {
		case unix.IFA_ADDRESS:
			peer = attribute.Value
		case unix.IFA_LOCAL:
			local = attribute.Value
		case unix.IFA_BROADCAST:
			addr.Broadcast = attribute.Value
		case unix.IFA_LABEL:
			addr.Label = unix.ByteSliceToString(attribute.Value)
		case unix.IFA_FLAGS:
			addr.Flags = int(nl.NativeEndian().Uint32(attribute.Value))
		case unix.IFA_CACHEINFO:
			lifetimes := nl.DeserializeIfaCacheInfo(attribute.Value)
			addr.PreferedLft, addr.ValidLft = int(lifetimes.Prefered), int(lifetimes.Valid)
		}
	}
	network := &net.IPNet{IP: peer, Mask: net.CIDRMask(int(header.Prefixlen), 8*len(peer))}
	if local == nil || local.Equal(peer) {
		addr.IPNet = network
		return addr
	}
	addr.IPNet, addr.Peer = &net.IPNet{IP: local, Mask: net.CIDRMask(8*len(local), 8*len(local))}, network
	return addr
}
