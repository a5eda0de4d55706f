// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// What iptables-nft would write for the firewall, written without it: two
// programs take longer than all else in an ADD. That is done in the usual case
// only, where what owners share is there and nobody has ever had the addresses;
// the programs do the rest.

// openDirectly does what iptablesGate.Open does for the addresses if it can, and
// tells whether it has. Everything else is left to the programs, errors too.
func (f family) openDirectly(ctx context.Context, owner plugin.Owner, p Passage, addrs []netip.Prefix) bool {
	if p.Ingress != (Ingress{}) || !f.isNFT() {
		return false
	}
	done := false
	err := withConn(ctx, func(c *conn) error {
		var usual bool
		err := c.stable(func() (err error) {
			usual, err = f.isUsual(c, owner, p, addrs)
			return err
		})
		if err != nil || !usual {
			return err
		}
		f.addPassage(c, owner, addrs)
		done = true
		return c.commit()
	})
	return done && err == nil
}

// isNFT tells whether the host's iptables is the one of nf_tables. All programs
// of that are one executable.
func (f family) isNFT() bool {
	path, err := exec.LookPath(f.program("-restore"))
	if err != nil {
		return false
	}
	executable, err := filepath.EvalSymlinks(path)
	return err == nil && filepath.Base(executable) == "xtables-nft-multi"
}

// isUsual tells whether only the rules of an attachment are missing, which has
// none yet.
func (f family) isUsual(c *conn, owner plugin.Owner, p Passage, addrs []netip.Prefix) (bool, error) {
	replies, err := c.get(unix.NFT_MSG_GETRULE, netlink.Dump, f.table, cstring(unix.NFTA_RULE_TABLE, f.filterTable().Name))
	if present, err := found(err); !present {
		return false, err
	}
	forwards, hasAdmin, taken := false, false, false
	closes, isolates := false, false // bridges, and what is forwarded to containers
	for _, reply := range replies {
		rule, err := parseRawRule(reply)
		if err != nil {
			return false, err
		}
		switch {
		case rule.chain == forwardChain:
			isolates = isolates || !forwards && rule.leadsTo(isolationFirst)
			forwards = forwards || rule.jumpsTo(cniForward, "CNI firewall plugin rules")
		case rule.chain == isolationFirst:
			closes = closes || rule.leadsTo(isolationLast)
		case rule.chain == passageRecord(owner):
			taken = true
		case rule.chain == cniForward:
			hasAdmin = hasAdmin || rule.jumpsTo(p.AdminChain, "CNI firewall plugin admin overrides")
			taken = taken || rule.mentions(addrs)
		case strings.HasPrefix(rule.chain, recordsPrefix):
			taken = taken || rule.mentions(addrs)
		}
	}
	return forwards && hasAdmin && !taken && (isolates || !closes), nil
}

// rawRule is a rule as the kernel lists it. To decode thousands that are those
// of others would take longer than to have iptables-save print them.
type rawRule struct {
	chain    string
	content  []byte // the expressions
	userData []byte
}

func parseRawRule(reply netlink.Message) (rawRule, error) {
	var rule rawRule
	err := eachAttribute([]netlink.Message{reply}, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_RULE_CHAIN:
			rule.chain = ad.String()
		case unix.NFTA_RULE_EXPRESSIONS:
			rule.content = ad.Bytes()
		case unix.NFTA_RULE_USERDATA:
			rule.userData = ad.Bytes()
		}
	})
	return rule, err
}

// jumpsTo tells whether the rule jumps to a chain and has the comment, which is
// a match or, with some versions, user data.
func (r rawRule) jumpsTo(chain, comment string) bool {
	text := []byte(comment + "\x00")
	return r.leadsTo(chain) && (bytes.Contains(r.content, text) || bytes.Contains(r.userData, text))
}

// leadsTo tells whether the rule jumps to a chain.
func (r rawRule) leadsTo(chain string) bool {
	target, err := netlink.MarshalAttributes([]netlink.Attribute{cstring(unix.NFTA_VERDICT_CHAIN, chain)})
	return err == nil && bytes.Contains(r.content, target)
}

// mentions tells whether one of the addresses may be in the rule.
func (r rawRule) mentions(addrs []netip.Prefix) bool {
	for _, addr := range addrs {
		if bytes.Contains(r.content, addr.Addr().AsSlice()) {
			return true
		}
	}
	return false
}

// addPassage queues a record and the rules for the addresses, expression by
// expression as iptables-nft 1.8 writes them, so that its -D finds them.
func (f family) addPassage(c *conn, owner plugin.Owner, addrs []netip.Prefix) {
	record := c.AddChain(f.filterChain(passageRecord(owner)))
	for _, addr := range addrs {
		comment := xt.Comment(owner.Comment())
		from := []expr.Any{f.load(f.saddr, unix.NFT_REG_1), equals(addr.Addr().AsSlice())}
		to := []expr.Any{f.load(f.daddr, unix.NFT_REG_1), equals(addr.Addr().AsSlice())}
		f.appendRule(c, record, append(from, &expr.Match{Name: "comment", Info: &comment}, &expr.Counter{}))
		accept := &expr.Verdict{Kind: expr.VerdictAccept}
		f.appendRule(c, f.filterChain(cniForward), append(to, f.isAnswer(), &expr.Counter{}, accept))
		f.appendRule(c, f.filterChain(cniForward), append(from[:2:2], &expr.Counter{}, accept))
	}
}

func (f family) appendRule(c *conn, chain *nftables.Chain, exprs []expr.Any) {
	c.AddRule(&nftables.Rule{Table: f.filterTable(), Chain: chain, Exprs: exprs})
}

// isAnswer is "-m conntrack --ctstate RELATED,ESTABLISHED".
func (f family) isAnswer() expr.Any {
	const established, related = 1 << 1, 1 << 2 // XT_CONNTRACK_STATE_BIT
	zero := make(net.IP, f.address.Bytes)
	info := &xt.ConntrackMtinfo3{ConntrackMtinfo2: xt.ConntrackMtinfo2{
		ConntrackMtinfoBase: xt.ConntrackMtinfoBase{
			OrigSrcAddr: zero, OrigSrcMask: net.IPMask(zero), OrigDstAddr: zero, OrigDstMask: net.IPMask(zero),
			ReplSrcAddr: zero, ReplSrcMask: net.IPMask(zero), ReplDstAddr: zero, ReplDstMask: net.IPMask(zero),
			MatchFlags: uint16(xt.ConntrackState),
		},
		StateMask: established | related,
	}}
	return &expr.Match{Name: "conntrack", Rev: 3, Info: info}
}
