// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/nlattr"
)

// Losses are what others take away of the packet filter's rules, in the network
// namespace of the thread that called WatchLosses. The kernel tells of every change
// of nftables, and of iptables where that is nftables; of that of iptables-legacy it
// tells nobody.
type Losses struct {
	socket *nl.NetlinkSocket
	own    []string // names of processes
	// By what is told of the transaction so far:
	lost    bool
	flushed bool
}

// WatchLosses begins to listen. Processes with the names in own do not count, what
// they remove they mean to, but for a flush: scripts may have such names.
func WatchLosses(own []string) (*Losses, error) {
	socket, err := nl.Subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return nil, fmt.Errorf("listen to changes of nftables: %w", err)
	}
	return &Losses{socket: socket, own: own}, nil
}

// Close ends Next.
func (l *Losses) Close() { l.socket.Close() }

// Next returns when somebody has taken away what may be a rule of a plugin's.
func (l *Losses) Next() error {
	for {
		messages, _, err := l.socket.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS): // more happened than the socket could hold
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("listen to changes of nftables: %w", err)
		}
		if l.in(messages) {
			return nil
		}
	}
}

// in tells whether a transaction that these messages end was somebody else's, and took
// something away.
func (l *Losses) in(messages []syscall.NetlinkMessage) (found bool) {
	const header = 4 // struct nfgenmsg
	for _, message := range messages {
		if message.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(message.Data) < header {
			continue
		}
		attributes := nlattr.Attributes(message.Data[header:])
		if kind := message.Header.Type & 0xff; kind == unix.NFT_MSG_NEWGEN { // the last one
			found = found || l.flushed || l.lost && !slices.Contains(l.own, text(attributes.Get(unix.NFTA_GEN_PROC_NAME)))
			l.lost, l.flushed = false, false
		} else if takesOurs(kind, attributes) {
			l.lost = true
			l.flushed = l.flushed || kind == unix.NFT_MSG_DELTABLE && !isProbe(attributes)
		}
	}
	return found
}

// isProbe tells whether a message is about the one kind of table that plugins remove.
func isProbe(attributes nlattr.Attributes) bool {
	return strings.HasSuffix(text(attributes.Get(unix.NFTA_TABLE_NAME)), probeSuffix)
}

// takesOurs tells whether a message is about the removal of something that may be a
// plugin's. In the tables of iptables those are our chains and what leads there.
func takesOurs(kind uint16, attributes nlattr.Attributes) bool {
	table := text(attributes.Get(unix.NFTA_TABLE_NAME)) // the first attribute, of whatever
	if strings.HasPrefix(table, "cni_") {
		return slices.Contains([]uint16{unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM}, kind)
	}
	switch kind {
	case unix.NFT_MSG_DELTABLE:
		return slices.Contains([]string{"filter", "nat", "firewalld"}, table) // with firewalld's, zones lose sources
	case unix.NFT_MSG_DELRULE:
		return mayLeadToOurs(text(attributes.Get(unix.NFTA_RULE_CHAIN)))
	}
	return false
}

// mayLeadToOurs tells whether rules of a chain may be a plugin's: of our chains, and
// of those that the kernel calls.
func mayLeadToOurs(chain string) bool {
	return strings.HasPrefix(chain, "CNI-") || slices.Contains([]string{"PREROUTING", "OUTPUT", "POSTROUTING", "FORWARD"}, chain)
}

// text is a string of a message, which ends in a zero byte.
func text(attribute nlattr.Attributes) string { return strings.TrimRight(string(attribute), "\x00") }
