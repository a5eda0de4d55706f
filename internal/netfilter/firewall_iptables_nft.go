// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// What iptables-nft has written for the firewall, read and removed without it.

// closeInNFT removes a record and the rules for the addresses in it, and for
// those of the known addresses that nobody has recorded.
func (f family) closeInNFT(ctx context.Context, c *conn, record string, known []netip.Prefix) error {
	err := c.retrying(ctx, func(c *conn) error {
		recorded, err := c.hasChain(f.filterTable(), record)
		if err != nil || !recorded && len(known) == 0 {
			return err
		}
		if exists, err := c.hasChain(f.filterTable(), cniForward); !exists && !recorded {
			return err
		}
		var doomed []*nftables.Rule
		err = c.stable(func() (err error) {
			doomed, err = f.passageRulesInNFT(c, record, recorded, known)
			return err
		})
		if err != nil || len(doomed) == 0 && !recorded {
			return err
		}
		return f.commitRemoval(c, doomed, record, recorded)
	})
	if err != nil {
		return fmt.Errorf("table %s filter: %w", familyName(f.table), err)
	}
	return nil
}

// commitRemoval deletes rules and a record. Those of the record are among the
// rules: should somebody have taken an address over, the transaction fails.
func (f family) commitRemoval(c *conn, doomed []*nftables.Rule, record string, recorded bool) error {
	for _, rule := range doomed {
		if err := c.DelRule(rule); err != nil {
			return err
		}
	}
	if recorded {
		c.DelChain(f.filterChain(record))
	}
	return c.commit()
}

// passageRulesInNFT returns the rules of a record, those for its addresses, and
// those for the known ones that nobody has recorded.
func (f family) passageRulesInNFT(c *conn, record string, recorded bool, known []netip.Prefix) ([]*nftables.Rule, error) {
	var doomed []*nftables.Rule
	var addrs []netip.Addr
	if recorded {
		rules, err := c.GetRules(f.filterTable(), f.filterChain(record))
		if err != nil {
			return nil, err
		}
		doomed, addrs = rules, f.recordedInNFT(rules)
	}
	unrecorded := slices.DeleteFunc(slices.Clone(known), func(addr netip.Prefix) bool { return slices.Contains(addrs, addr.Addr()) })
	free, err := f.nobodys(c, unrecorded)
	if err != nil {
		return nil, err
	}
	addrs = append(addrs, free...)
	rules, err := c.GetRules(f.filterTable(), f.filterChain(cniForward))
	for _, rule := range rules {
		if addr, ok := f.passesInNFT(rule); ok && slices.Contains(addrs, addr) {
			doomed = append(doomed, rule)
		}
	}
	return doomed, err
}

func (f family) recordedInNFT(rules []*nftables.Rule) []netip.Addr {
	var addrs []netip.Addr
	for _, rule := range rules {
		if prefix := f.prefixAt(rule, f.saddr); prefix.IsSingleIP() {
			addrs = append(addrs, prefix.Addr())
		}
	}
	return addrs
}

// addressesInRecords returns the addresses in all records.
func (f family) addressesInRecords(c *conn) ([]netip.Addr, error) {
	records, err := f.recordsInNFT(c)
	var addrs []netip.Addr
	for _, record := range records {
		rules, err := c.GetRules(f.filterTable(), f.filterChain(record))
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, f.recordedInNFT(rules)...)
	}
	return addrs, err
}

// recordsInNFT returns the names of all records.
func (f family) recordsInNFT(c *conn) ([]string, error) {
	chains, err := c.ListChainsOfTableFamily(f.table)
	var names []string
	for _, chain := range chains {
		if chain.Table.Name == f.filterTable().Name && strings.HasPrefix(chain.Name, recordsPrefix) {
			names = append(names, chain.Name)
		}
	}
	return names, err
}

// passesInNFT returns the address that a rule accepts packets from, or answers
// to. Rules of others, which ask for more, are none.
func (f family) passesInNFT(rule *nftables.Rule) (netip.Addr, bool) {
	verdict := verdictOf(rule)
	if verdict == nil || verdict.Kind != expr.VerdictAccept {
		return netip.Addr{}, false
	}
	matches := kindsOf(rule)
	if source := f.prefixAt(rule, f.saddr); source.IsSingleIP() {
		return source.Addr(), slices.Equal(matches, []string{"payload"})
	}
	destination := f.prefixAt(rule, f.daddr)
	return destination.Addr(), destination.IsSingleIP() && slices.Equal(matches, []string{"payload", "conntrack"})
}

// kindsOf names what a rule looks at, in order. Versions of iptables-nft differ
// in whether they have a match of their own for it.
func kindsOf(rule *nftables.Rule) []string {
	var kinds []string
	for _, e := range rule.Exprs {
		switch e := e.(type) {
		case *expr.Payload:
			kinds = append(kinds, "payload")
		case *expr.Match:
			kinds = append(kinds, e.Name)
		case *expr.Ct:
			kinds = append(kinds, "conntrack")
		case *expr.Cmp, *expr.Bitwise, *expr.Counter, *expr.Verdict:
		default:
			kinds = append(kinds, "other")
		}
	}
	return kinds
}

// gcPassagesInNFT removes what attachments of the network that are not valid any
// more have recorded.
func (f family) gcPassagesInNFT(ctx context.Context, c *conn, attachments plugin.Attachments) error {
	var records []string
	err := c.stable(func() (err error) {
		records, err = f.recordsInNFT(c)
		return err
	})
	errs := []error{err}
	for _, record := range records {
		if staleRecord(record, attachments) {
			errs = append(errs, f.closeInNFT(ctx, c, record, nil))
		}
	}
	return errors.Join(errs...)
}
