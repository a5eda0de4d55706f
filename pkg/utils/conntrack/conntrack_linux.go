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
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/nlattr"
	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// Filter says which connections are meant, by what the packets that opened
// them had. Zero fields leave a thing open.
type Filter struct {
	Family   netlink.InetFamily // netlink.FAMILY_V4 or FAMILY_V6; 0 for both, without DstIP
	Protocol uint8              // of layer 4, such as unix.IPPROTO_UDP
	SrcIP    net.IP
	DstIP    net.IP
	DstPort  uint16 // needs a Protocol that has ports

	// Untranslated leaves out connections of which either address was translated.
	Untranslated bool

	// Matches is asked about each connection that is meant otherwise: where it was
	// sent, and who answers, who is another if the destination was translated. It
	// may be nil.
	Matches func(dst, answering net.IP) bool
}

// FamilyOf returns the Family for an address.
func FamilyOf(ip net.IP) netlink.InetFamily {
	if ip.To4() != nil {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// Delete deletes the connections that any of the filters means and returns how
// many there were. The kernel searches its whole table, which is that of all
// network namespaces and takes milliseconds, once for each filter and family; or
// once in all where it is quicker to have it hand over every connection there is.
// Where there are few, a look at the list tells first whether it is worth it.
func Delete(filters ...Filter) (int, error) {
	for _, filter := range filters {
		if err := filter.validate(); err != nil {
			return 0, fmt.Errorf("delete connections: %w", err)
		}
	}
	connections, err := number("net/netfilter/nf_conntrack_count")
	if len(filters) == 0 || err == nil && connections == 0 {
		return 0, nil
	}
	filters = eachFamily(filters)
	switch {
	case err != nil:
	case connections <= fewConnections && areAbsent(filters, connections):
		return 0, nil
	case quickerAtOnce(connections, len(filters)):
		return deleteListed(filters)
	}
	return deleteSearching(filters)
}

// number reads a setting. The count of connections is that of the network
// namespace.
func number(setting string) (int, error) {
	text, err := plainfile.Read("/proc/sys/" + setting)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(bytes.TrimSpace(text)))
}

// eachFamily has a filter for each family: the kernel searches for one at a time.
func eachFamily(filters []Filter) []Filter {
	var split []Filter
	for _, filter := range filters {
		if filter.Family != 0 {
			split = append(split, filter)
			continue
		}
		for _, family := range []netlink.InetFamily{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			filter.Family = family
			split = append(split, filter)
		}
	}
	return split
}

// quickerAtOnce tells whether to list all connections is quicker than to search
// for some, more than once: to hand one over takes as long as to look at about a
// hundred buckets of the table (BenchmarkList).
func quickerAtOnce(connections, searches int) bool {
	const bucketsPerConnection = 100
	buckets, err := number("net/netfilter/nf_conntrack_buckets")
	return err == nil && connections*bucketsPerConnection < (searches-1)*buckets
}

func deleteSearching(filters []Filter) (deleted int, err error) {
	var errs []error
	for _, filter := range filters {
		messages, err := list(filter)
		if err != nil {
			errs = append(errs, fmt.Errorf("list connections: %w", err))
			continue
		}
		n, err := deleteAll([]Filter{filter}, messages)
		deleted, errs = deleted+n, append(errs, err)
	}
	return deleted, errors.Join(errs...)
}

func deleteListed(filters []Filter) (int, error) {
	messages, err := listAll()
	if err != nil {
		return 0, fmt.Errorf("list connections: %w", err)
	}
	return deleteAll(filters, messages)
}

func listAll() ([][]byte, error) {
	return netlinksafe.Dump("connections", newRequest(nl.IPCTNL_MSG_CT_GET, 0), unix.NETLINK_NETFILTER, 0)
}

// validate refuses a filter that would mean more than its author thinks.
func (f Filter) validate() error {
	switch {
	case f.Family == 0 && (f.SrcIP != nil || f.DstIP != nil):
		return errors.New("an address without its family")
	case f.Family != 0 && f.Family != netlink.FAMILY_V4 && f.Family != netlink.FAMILY_V6:
		return fmt.Errorf("family %d is neither IPv4 nor IPv6", f.Family)
	case f.SrcIP == nil && f.DstIP == nil && f.DstPort == 0:
		return errors.New("a filter without addresses and destination port means all connections")
	case f.SrcIP != nil && f.address(f.SrcIP) == nil:
		return fmt.Errorf("source address %s is not of the filter's family", f.SrcIP)
	case f.DstIP != nil && f.address(f.DstIP) == nil:
		return fmt.Errorf("destination address %s is not of the filter's family", f.DstIP)
	case f.DstPort != 0 && f.Protocol == 0:
		return fmt.Errorf("destination port %d without a protocol", f.DstPort)
	}
	return nil
}

// address returns an address in the length that the family has, or nil.
func (f Filter) address(ip net.IP) net.IP {
	v4 := ip.To4()
	if f.Family == netlink.FAMILY_V4 {
		return v4
	}
	if v4 != nil {
		return nil
	}
	return ip.To16()
}

// list returns the kernel's messages about connections of a family, of which at
// least those that match are there. A kernel that knows the filter but not the ports of the
// protocol refuses, and is asked for everything.
func list(filter Filter) ([][]byte, error) {
	messages, err := netlinksafe.Dump("connections", filter.request(), unix.NETLINK_NETFILTER, 0)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return netlinksafe.Dump("connections", newRequest(nl.IPCTNL_MSG_CT_GET, filter.Family), unix.NETLINK_NETFILTER, 0)
	}
	return messages, err
}

// deleteAll deletes those of the connections that any filter means.
func deleteAll(filters []Filter, messages [][]byte) (int, error) {
	var deleted int
	var failed []error
	for _, message := range messages {
		c, err := parse(message)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if !slices.ContainsFunc(filters, func(f Filter) bool { return f.matches(c) }) {
			continue
		}
		if err := c.delete(); err != nil {
			failed = append(failed, err)
			continue
		}
		deleted++
	}
	return deleted, errors.Join(failed...)
}

// delete deletes the connection. The id makes sure that it is not a newer one
// between the same ends.
func (c connection) delete() error {
	request := newRequest(nl.IPCTNL_MSG_CT_DELETE, c.family)
	request.Flags |= unix.NLM_F_ACK
	request.AddData(nl.NewRtAttr(nl.CTA_TUPLE_ORIG|int(nl.NLA_F_NESTED), c.attributes.Get(nl.CTA_TUPLE_ORIG)))
	for _, kind := range []uint16{nl.CTA_ZONE, nl.CTA_ID} {
		if value := c.attributes.Get(kind); value != nil {
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

	filterBySrcIP   = 1 << 0
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
	if f.Family == netlink.FAMILY_V4 && (f.SrcIP != nil || f.DstIP != nil) {
		ip := nested(nl.CTA_TUPLE_IP)
		if f.SrcIP != nil {
			by |= filterBySrcIP
			ip.AddRtAttr(nl.CTA_IP_V4_SRC, f.SrcIP.To4())
		}
		if f.DstIP != nil {
			by |= filterByDstIP
			ip.AddRtAttr(nl.CTA_IP_V4_DST, f.DstIP.To4())
		}
		tuple.AddChild(ip)
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

func nested(kind int) *nl.RtAttr { return nl.NewRtAttr(kind|int(nl.NLA_F_NESTED), nil) }

// connection is what a message says of one.
type connection struct {
	family     netlink.InetFamily
	protocol   uint8
	src        net.IP
	dst        net.IP // nil if the message does not tell
	dstPort    uint16
	answering  net.IP
	answered   net.IP
	attributes nlattr.Attributes
}

// parse takes a message about one connection apart.
func parse(message []byte) (connection, error) {
	if len(message) < nl.SizeofNfgenmsg {
		return connection{}, fmt.Errorf("message about a connection has %d bytes", len(message))
	}
	all := nlattr.Attributes(message[nl.SizeofNfgenmsg:])
	tuple, answer := all.Get(nl.CTA_TUPLE_ORIG), all.Get(nl.CTA_TUPLE_REPLY)
	ip, proto := tuple.Get(nl.CTA_TUPLE_IP), tuple.Get(nl.CTA_TUPLE_PROTO)
	c := connection{family: netlink.InetFamily(message[0]), attributes: all} // struct nfgenmsg begins with it
	c.src, c.dst = ends(ip)
	c.answering, c.answered = ends(answer.Get(nl.CTA_TUPLE_IP))
	if number := proto.Get(nl.CTA_PROTO_NUM); len(number) == 1 {
		c.protocol = number[0]
	}
	if port := proto.Get(nl.CTA_PROTO_DST_PORT); len(port) == 2 {
		c.dstPort = binary.BigEndian.Uint16(port)
	}
	return c, nil
}

// ends returns the addresses in a tuple.
func ends(ip nlattr.Attributes) (src, dst net.IP) {
	return either(ip, nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC), either(ip, nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST)
}

// either returns the value of the first attribute of a type in a, or of another.
func either(a nlattr.Attributes, kind, other uint16) []byte {
	if value := a.Get(kind); value != nil {
		return value
	}
	return a.Get(other)
}

// matches tells whether the connection is meant. It does not rely on the kernel
// having looked: deleting too much breaks other people's connections.
func (f Filter) matches(c connection) bool {
	return f.Family == c.family && c.dst != nil && c.protocol != 0 &&
		(f.SrcIP == nil || f.SrcIP.Equal(c.src)) &&
		(f.DstIP == nil || f.DstIP.Equal(c.dst)) &&
		(f.Protocol == 0 || f.Protocol == c.protocol) &&
		(f.DstPort == 0 || f.DstPort == c.dstPort) &&
		(!f.Untranslated || c.src.Equal(c.answered) && c.dst.Equal(c.answering)) &&
		(f.Matches == nil || f.Matches(c.dst, c.answering))
}
