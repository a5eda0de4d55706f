// SPDX-License-Identifier: Apache-2.0

// Package conntrack makes the kernel forget connections it tracks, so that
// their next packet is subject to the address translation that is in force by
// then. A UDP flow that goes on would otherwise keep the old one for ever.
package conntrack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// Filter says which connections are meant, by what the packets that opened
// them had. Zero fields leave a thing open.
type Filter struct {
	Family   netlink.InetFamily // netlink.FAMILY_V4 or FAMILY_V6; 0 for both, without DstIP
	Protocol uint8              // of layer 4, such as unix.IPPROTO_UDP
	DstIP    net.IP
	DstPort  uint16 // needs a Protocol that has ports

	// DstMatches is asked about the destination of each connection that is
	// meant otherwise; may be nil.
	DstMatches func(net.IP) bool
}

// Delete deletes the connections that filter means and returns how many there
// were. The kernel searches the table, which takes milliseconds, as it is the
// table of all network namespaces; before Linux 5.8 it hands all of it over.
func Delete(filter Filter) (int, error) {
	if err := filter.validate(); err != nil {
		return 0, fmt.Errorf("delete connections: %w", err)
	}
	if nothingTracked() {
		return 0, nil
	}
	messages, err := list(filter)
	if err != nil {
		return 0, fmt.Errorf("list connections: %w", err)
	}
	return deleteAll(filter, messages)
}

// nothingTracked tells whether this network namespace has no connection at all.
func nothingTracked() bool {
	count, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
	return err == nil && string(bytes.TrimSpace(count)) == "0"
}

// validate refuses a filter that would mean more than its author thinks.
func (f Filter) validate() error {
	switch {
	case f.Family == 0 && f.DstIP != nil:
		return errors.New("a destination address without its family")
	case f.Family != 0 && f.Family != netlink.FAMILY_V4 && f.Family != netlink.FAMILY_V6:
		return fmt.Errorf("family %d is neither IPv4 nor IPv6", f.Family)
	case f.DstIP == nil && f.DstPort == 0:
		return errors.New("a filter without destination address and port means all connections")
	case f.DstIP != nil && f.address() == nil:
		return fmt.Errorf("destination address %s is not of the filter's family", f.DstIP)
	case f.DstPort != 0 && f.Protocol == 0:
		return fmt.Errorf("destination port %d without a protocol", f.DstPort)
	}
	return nil
}

// address is the destination address in the length the family has.
func (f Filter) address() net.IP {
	v4 := f.DstIP.To4()
	if f.Family == netlink.FAMILY_V4 {
		return v4
	}
	if v4 != nil {
		return nil
	}
	return f.DstIP.To16()
}

// list returns the kernel's messages about connections, of which at least those
// that match are there. A kernel that knows the filter but not the ports of the
// protocol refuses, and is asked for everything.
func list(filter Filter) ([][]byte, error) {
	messages, err := netlinksafe.Dump("connections", filter.request(), unix.NETLINK_NETFILTER, 0)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return netlinksafe.Dump("connections", newRequest(nl.IPCTNL_MSG_CT_GET, filter.Family), unix.NETLINK_NETFILTER, 0)
	}
	return messages, err
}

func deleteAll(filter Filter, messages [][]byte) (int, error) {
	var deleted int
	var failed []error
	for _, message := range messages {
		attrs, err := parse(message)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if !filter.matches(attrs) {
			continue
		}
		if err := deleteOne(netlink.InetFamily(message[0]), attrs); err != nil { // struct nfgenmsg begins with it
			failed = append(failed, err)
			continue
		}
		deleted++
	}
	return deleted, errors.Join(failed...)
}

// deleteOne deletes the connection attrs describe. The id makes sure that it is
// not a newer one between the same ends.
func deleteOne(family netlink.InetFamily, attrs attributes) error {
	request := newRequest(nl.IPCTNL_MSG_CT_DELETE, family)
	request.Flags |= unix.NLM_F_ACK
	request.AddData(nl.NewRtAttr(nl.CTA_TUPLE_ORIG|int(nl.NLA_F_NESTED), attrs[nl.CTA_TUPLE_ORIG]))
	for _, kind := range []uint16{nl.CTA_ZONE, nl.CTA_ID} {
		if value, ok := attrs[kind]; ok {
			request.AddData(nl.NewRtAttr(int(kind), value))
		}
	}
	_, err := request.Execute(unix.NETLINK_NETFILTER, 0)
	if errors.Is(err, unix.ENOENT) { // it ended meanwhile
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete connection: %w", err)
	}
	return nil
}

func newRequest(operation int, family netlink.InetFamily) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(netlink.ConntrackTable<<8|operation, 0)
	request.AddData(&nl.Nfgenmsg{NfgenFamily: uint8(family), Version: nl.NFNETLINK_V0})
	return request
}

// Of linux/netfilter/nfnetlink_conntrack.h and nf_internals.h; the netlink
// module does not have them.
const (
	ctaFilter          = 25
	ctaFilterOrigFlags = 1
	ctaFilterReplFlags = 2

	filterByDstIP   = 1 << 1
	filterByProto   = 1 << 3
	filterByDstPort = 1 << 5
)

// request asks for the connections that match. A kernel before 5.8 ignores what
// it does not know, and lists all. For an IPv6 address later ones list exactly
// those that do not match (seen with 6.18; ctnetlink_filter_match_tuple takes
// the outcome of ipv6_addr_cmp for its opposite), so that is not asked for.
func (f Filter) request() *nl.NetlinkRequest {
	request := newRequest(nl.IPCTNL_MSG_CT_GET, f.Family)
	tuple, by := f.tuple()
	if by == 0 {
		return request
	}
	flags := nested(ctaFilter)
	flags.AddRtAttr(ctaFilterOrigFlags, binary.NativeEndian.AppendUint32(nil, by))
	flags.AddRtAttr(ctaFilterReplFlags, binary.NativeEndian.AppendUint32(nil, 0))
	request.AddData(tuple)
	request.AddData(flags)
	return request
}

// tuple is what the kernel is to look for, and the flags that say which parts
// of it count.
func (f Filter) tuple() (tuple *nl.RtAttr, by uint32) {
	tuple = nested(nl.CTA_TUPLE_ORIG)
	if f.DstIP != nil && f.Family == netlink.FAMILY_V4 {
		by |= filterByDstIP
		tuple.AddChild(f.addressAttr())
	}
	if f.Protocol == 0 {
		return tuple, by
	}
	by |= filterByProto
	proto := nested(nl.CTA_TUPLE_PROTO)
	proto.AddRtAttr(nl.CTA_PROTO_NUM, []byte{f.Protocol})
	if f.DstPort != 0 {
		by |= filterByDstPort
		proto.AddRtAttr(nl.CTA_PROTO_DST_PORT, binary.BigEndian.AppendUint16(nil, f.DstPort))
	}
	tuple.AddChild(proto)
	return tuple, by
}

func (f Filter) addressAttr() *nl.RtAttr {
	ip := nested(nl.CTA_TUPLE_IP)
	ip.AddRtAttr(f.addressKind(), f.address())
	return ip
}

func (f Filter) addressKind() int {
	if f.Family == netlink.FAMILY_V4 {
		return nl.CTA_IP_V4_DST
	}
	return nl.CTA_IP_V6_DST
}

func nested(kind int) *nl.RtAttr { return nl.NewRtAttr(kind|int(nl.NLA_F_NESTED), nil) }

// attributes are the values of netlink attributes by their type.
type attributes map[uint16][]byte

// parse takes a message about one connection apart.
func parse(message []byte) (attributes, error) {
	if len(message) < nl.SizeofNfgenmsg {
		return nil, fmt.Errorf("message about a connection has %d bytes", len(message))
	}
	return parseAttributes(message[nl.SizeofNfgenmsg:])
}

func parseAttributes(data []byte) (attributes, error) {
	list, err := nl.ParseRouteAttr(data)
	if err != nil {
		return nil, fmt.Errorf("message about a connection: %w", err)
	}
	attrs := attributes{}
	for _, attr := range list {
		attrs[attr.Attr.Type&nl.NLA_TYPE_MASK] = attr.Value
	}
	return attrs, nil
}

// matches tells whether the connection is meant. It does not rely on the kernel
// having looked: deleting too much breaks other people's connections.
func (f Filter) matches(attrs attributes) bool {
	tuple, err := parseAttributes(attrs[nl.CTA_TUPLE_ORIG])
	if err != nil {
		return false
	}
	ip, errIP := parseAttributes(tuple[nl.CTA_TUPLE_IP])
	proto, errProto := parseAttributes(tuple[nl.CTA_TUPLE_PROTO])
	if errIP != nil || errProto != nil {
		return false
	}
	dst := net.IP(ip[nl.CTA_IP_V4_DST])
	if dst == nil {
		dst = ip[nl.CTA_IP_V6_DST]
	}
	return (f.DstIP == nil || f.address().Equal(dst)) &&
		(f.Protocol == 0 || bytes.Equal(proto[nl.CTA_PROTO_NUM], []byte{f.Protocol})) &&
		(f.DstPort == 0 || bytes.Equal(proto[nl.CTA_PROTO_DST_PORT], binary.BigEndian.AppendUint16(nil, f.DstPort))) &&
		(f.DstMatches == nil || f.DstMatches(dst))
}
