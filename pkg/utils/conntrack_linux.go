// SPDX-License-Identifier: Apache-2.0

package utils

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/conntrack"
)

// Protocols whose connections have ports.
const (
	PROTOCOL_TCP  = unix.IPPROTO_TCP
	PROTOCOL_UDP  = unix.IPPROTO_UDP
	PROTOCOL_SCTP = unix.IPPROTO_SCTP
)

// DeleteConntrackEntriesForDstIP deletes the tracked connections of a protocol
// to the address dstIP.
func DeleteConntrackEntriesForDstIP(dstIP string, protocol uint8) error {
	ip := net.ParseIP(dstIP)
	if ip == nil {
		return fmt.Errorf("delete connections to %q: not an IP address", dstIP)
	}
	_, err := conntrack.Delete(conntrack.Filter{Family: conntrack.FamilyOf(ip), Protocol: protocol, DstIP: ip})
	return err
}

// DeleteConntrackEntriesForDstPort deletes the tracked connections of a
// protocol and family to a port, whatever the address.
func DeleteConntrackEntriesForDstPort(port uint16, protocol uint8, family netlink.InetFamily) error {
	_, err := conntrack.Delete(conntrack.Filter{Family: family, Protocol: protocol, DstPort: port})
	return err
}
