// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/nftcomment"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// What iptables-nft has written is nf_tables rules, and is read and removed as
// such: no program is needed, nor started.

// filterTable returns the table of the family that iptables-nft calls filter.
func (f family) filterTable() *nftables.Table {
	return &nftables.Table{Family: f.table, Name: "filter"}
}

func (f family) filterChain(name string) *nftables.Chain {
	return &nftables.Chain{Name: name, Table: f.filterTable()}
}

// natTable returns the table of the family that iptables-nft calls nat.
func (f family) natTable() *nftables.Table {
	return &nftables.Table{Family: f.table, Name: "nat"}
}

func (f family) natChain(name string) *nftables.Chain {
	return &nftables.Chain{Name: name, Table: f.natTable()}
}

// removeFromNFT reduces a chain to what keep says.
func (f family) removeFromNFT(ctx context.Context, c *conn, chain string, keep func(savedChain) savedChain) error {
	err := c.retrying(ctx, func(c *conn) error {
		if exists, err := c.hasChain(f.natTable(), chain); !exists {
			return err
		}
		state, err := f.readNFT(c, chain)
		if err != nil {
			return err
		}
		return f.reduceNFT(c, state, keep(state))
	})
	if err != nil {
		return fmt.Errorf("table %s nat: %w", familyName(f.table), err)
	}
	return nil
}

func (f family) reduceNFT(c *conn, now, then savedChain) error {
	for _, rule := range now.rulesNotIn(then) {
		if err := c.DelRule(&nftables.Rule{Table: f.natTable(), Chain: f.natChain(rule.text), Handle: rule.handle}); err != nil {
			return err
		}
	}
	if len(then.jumps) == 0 {
		c.DelChain(f.natChain(now.name))
	}
	return c.commit()
}

// readNFT returns a chain and the jumps to it. The text of a rule is the name
// of the chain it is in.
func (f family) readNFT(c *conn, name string) (savedChain, error) {
	state := savedChain{name: name}
	rules, err := c.GetRules(f.natTable(), f.natChain(name))
	if err != nil {
		return state, explain(err)
	}
	for _, rule := range rules {
		state.comment = cmp.Or(state.comment, ruleComment(rule))
		state.masquerades = state.masquerades || masquerades(rule)
		if verdict := verdictOf(rule); verdict != nil && verdict.Kind == expr.VerdictAccept {
			state.accepts = append(state.accepts, savedRule{f.prefixAt(rule, f.daddr), name, rule.Handle})
		}
	}
	rules, err = c.GetRules(f.natTable(), f.natChain("POSTROUTING"))
	for _, rule := range rules {
		if verdict := verdictOf(rule); verdict != nil && verdict.Chain == name {
			state.jumps = append(state.jumps, savedRule{f.prefixAt(rule, f.saddr), "POSTROUTING", rule.Handle})
		}
	}
	return state, explain(err)
}

// servesInNFT tells whether a chain has what it needs for prefixes, as far as that
// differs from chain to chain.
func (f family) servesInNFT(c *conn, chain string, prefixes []netip.Prefix) (bool, error) {
	if len(prefixes) == 0 {
		return true, nil
	}
	if exists, err := c.hasChain(f.natTable(), chain); !exists {
		return false, err
	}
	state, err := f.readNFT(c, chain)
	lacks := func(p netip.Prefix) bool { return !state.jumpsFrom(p.Addr()) || !state.acceptsTo(p.Masked()) }
	return state.masquerades && !slices.ContainsFunc(prefixes, lacks), err
}

// masquerades tells whether a rule ends so, in either way in which versions of
// iptables-nft write that.
func masquerades(rule *nftables.Rule) bool {
	if len(rule.Exprs) == 0 {
		return false
	}
	switch e := rule.Exprs[len(rule.Exprs)-1].(type) {
	case *expr.Masq:
		return true
	case *expr.Target:
		return e.Name == "MASQUERADE"
	}
	return false
}

func verdictOf(rule *nftables.Rule) *expr.Verdict {
	if len(rule.Exprs) == 0 {
		return nil
	}
	verdict, _ := rule.Exprs[len(rule.Exprs)-1].(*expr.Verdict)
	return verdict
}

// ruleComment returns the comment of a rule of iptables-nft, which has been a
// match and, in some versions, the comment of nf_tables.
func ruleComment(rule *nftables.Rule) string {
	for _, e := range rule.Exprs {
		if match, ok := e.(*expr.Match); ok {
			if comment, ok := match.Info.(*xt.Comment); ok {
				return string(*comment)
			}
		}
	}
	return nftcomment.Of(rule.UserData)
}

// prefixAt returns the prefix that a rule wants the address at offset in the
// network header to have, or the zero Prefix. iptables-nft loads the leading
// bytes only when the length of the prefix is a multiple of eight. A rule that
// wants anything else of the address, such as not to have the prefix or to be in
// a set, is none of ours.
func (f family) prefixAt(rule *nftables.Rule, offset uint32) netip.Prefix {
	return f.comparedAt(rule, offset, expr.CmpOpEq)
}

// comparedAt is prefixAt for another comparison, such as not to have the prefix.
func (f family) comparedAt(rule *nftables.Rule, offset uint32, op expr.CmpOp) netip.Prefix {
	for i, e := range rule.Exprs {
		load, ok := e.(*expr.Payload)
		if ok && load.Base == expr.PayloadBaseNetworkHeader && load.Offset == offset {
			return f.comparison(op, int(load.Len)*8, rule.Exprs[i+1:])
		}
	}
	return netip.Prefix{}
}

// comparison returns the prefix with which expressions compare the bits that
// have just been loaded.
func (f family) comparison(op expr.CmpOp, bits int, next []expr.Any) netip.Prefix {
	if len(next) > 0 {
		if masking, ok := next[0].(*expr.Bitwise); ok {
			bits, next = leadingBits(masking.Mask), next[1:]
		}
	}
	if len(next) == 0 {
		return netip.Prefix{}
	}
	cmp, ok := next[0].(*expr.Cmp)
	if !ok || cmp.Op != op || len(cmp.Data) > int(f.address.Bytes) {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(slices.Concat(cmp.Data, make([]byte, int(f.address.Bytes)-len(cmp.Data))))
	return netip.PrefixFrom(addr, bits)
}

// leadingBits returns the length of the prefix that a mask leaves, or -1 for a
// mask with holes.
func leadingBits(mask net.IPMask) int {
	ones, size := mask.Size()
	if size == 0 {
		return -1
	}
	return ones
}

// gcNFT removes the chains of containers that have no valid attachment to the
// network any more.
func (f family) gcNFT(ctx context.Context, c *conn, attachments plugin.Attachments) error {
	var stale []string
	err := c.stable(func() (err error) {
		stale, err = f.staleNFT(c, attachments)
		return err
	})
	errs := []error{err}
	for _, chain := range stale {
		errs = append(errs, f.removeFromNFT(ctx, c, chain, nothing))
	}
	return errors.Join(errs...)
}

func (f family) staleNFT(c *conn, attachments plugin.Attachments) ([]string, error) {
	chains, err := c.ListChainsOfTableFamily(f.table)
	if err != nil {
		return nil, err
	}
	var stale []string
	for _, chain := range chains {
		if chain.Table.Name != "nat" || len(chain.Name) != rulename.MaxChain || !strings.HasPrefix(chain.Name, "CNI-") {
			continue
		}
		state, err := f.readNFT(c, chain.Name)
		if err != nil {
			return nil, err
		}
		if state.stale(attachments) {
			stale = append(stale, chain.Name)
		}
	}
	return stale, nil
}
