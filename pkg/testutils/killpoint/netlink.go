// SPDX-License-Identifier: Apache-2.0

//go:build linux

package killpoint

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// describeNetlink names the messages in data that change something.
func describeNetlink(protocol int, data []byte) string {
	var changes []string
	last := ""
	for len(data) >= unix.NLMSG_HDRLEN {
		length := binary.NativeEndian.Uint32(data)
		if name := changeName(protocol, binary.NativeEndian.Uint16(data[4:])); name != "" && name != last {
			changes = append(changes, name)
			last = name
		}
		aligned := (uint64(length) + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
		if length < unix.NLMSG_HDRLEN || aligned >= uint64(len(data)) {
			break
		}
		data = data[aligned:]
	}
	if len(changes) == 0 {
		return ""
	}
	return "netlink " + strings.Join(changes, " ")
}

// changeName names a type of message, or returns nothing if it only asks.
func changeName(protocol int, kind uint16) string {
	if kind < unix.NLMSG_MIN_TYPE {
		return ""
	}
	switch protocol {
	case unix.NETLINK_ROUTE:
		return routeChange(kind)
	case unix.NETLINK_NETFILTER:
		return netfilterChange(kind)
	case unix.NETLINK_GENERIC:
		if kind == unix.GENL_ID_CTRL {
			return ""
		}
	case unix.NETLINK_SOCK_DIAG, unix.NETLINK_KOBJECT_UEVENT:
		return ""
	}
	return fmt.Sprintf("protocol %d type %d", protocol, kind)
}

// routeChange names rtnetlink messages. Every subject has four: NEW, DEL, GET
// and SET.
func routeChange(kind uint16) string {
	verb := [...]string{"NEW", "DEL", "GET", "SET"}[kind&3]
	if verb == "GET" {
		return ""
	}
	subject, ok := map[uint16]string{
		unix.RTM_NEWLINK:    "LINK",
		unix.RTM_NEWADDR:    "ADDR",
		unix.RTM_NEWROUTE:   "ROUTE",
		unix.RTM_NEWNEIGH:   "NEIGH",
		unix.RTM_NEWRULE:    "RULE",
		unix.RTM_NEWQDISC:   "QDISC",
		unix.RTM_NEWTCLASS:  "TCLASS",
		unix.RTM_NEWTFILTER: "TFILTER",
		unix.RTM_NEWACTION:  "ACTION",
		unix.RTM_NEWNSID:    "NSID",
		unix.RTM_NEWNEXTHOP: "NEXTHOP",
		unix.RTM_NEWMDB:     "MDB",
	}[kind&^3]
	if !ok {
		return fmt.Sprintf("RTM %d", kind)
	}
	return "RTM_" + verb + subject
}

// netfilterChange names netfilter messages; the upper byte of their type is the
// subsystem, and batches are framed by two types of no subsystem.
func netfilterChange(kind uint16) string {
	const batchBegin, batchEnd = 0x10, 0x11
	subsystem, message := kind>>8, kind&0xff
	switch {
	case kind == batchBegin || kind == batchEnd:
		return ""
	case subsystem == unix.NFNL_SUBSYS_NFTABLES:
		return nftChange(message)
	case subsystem == unix.NFNL_SUBSYS_NFT_COMPAT:
		return "" // only ever asks which extensions there are
	case subsystem == unix.NFNL_SUBSYS_CTNETLINK && message != conntrackNew && message != conntrackDelete:
		return ""
	}
	return fmt.Sprintf("netfilter %d.%d", subsystem, message)
}

// The messages of ctnetlink that change connections; the others ask.
const (
	conntrackNew    = 0
	conntrackDelete = 2
)

func nftChange(message uint16) string {
	return map[uint16]string{
		unix.NFT_MSG_NEWTABLE:     "NFT_NEWTABLE",
		unix.NFT_MSG_DELTABLE:     "NFT_DELTABLE",
		unix.NFT_MSG_NEWCHAIN:     "NFT_NEWCHAIN",
		unix.NFT_MSG_DELCHAIN:     "NFT_DELCHAIN",
		unix.NFT_MSG_NEWRULE:      "NFT_NEWRULE",
		unix.NFT_MSG_DELRULE:      "NFT_DELRULE",
		unix.NFT_MSG_NEWSET:       "NFT_NEWSET",
		unix.NFT_MSG_DELSET:       "NFT_DELSET",
		unix.NFT_MSG_NEWSETELEM:   "NFT_NEWSETELEM",
		unix.NFT_MSG_DELSETELEM:   "NFT_DELSETELEM",
		unix.NFT_MSG_NEWOBJ:       "NFT_NEWOBJ",
		unix.NFT_MSG_DELOBJ:       "NFT_DELOBJ",
		unix.NFT_MSG_NEWFLOWTABLE: "NFT_NEWFLOWTABLE",
		unix.NFT_MSG_DELFLOWTABLE: "NFT_DELFLOWTABLE",
		// Later ones (Linux 6.3): like DEL, but what is not there is no error.
		26: "NFT_DESTROYTABLE",
		27: "NFT_DESTROYCHAIN",
		28: "NFT_DESTROYRULE",
		29: "NFT_DESTROYSET",
		30: "NFT_DESTROYSETELEM",
		31: "NFT_DESTROYOBJ",
		32: "NFT_DESTROYFLOWTABLE",
		// Asking in a way that resets counters.
		unix.NFT_MSG_GETOBJ_RESET: "NFT_GETOBJ_RESET",
	}[message]
}
