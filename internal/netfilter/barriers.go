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
	"golang.org/x/sys/unix"
)

// Barrier is a chain that forwarded packets pass and that drops what its rules do
// not accept. What another table accepts does not get past it.
type Barrier struct {
	Table, Chain string // "ip filter", "FORWARD"

	// Closed says that nothing at all gets past: there is no rule that could
	// accept something.
	Closed bool
}

func (b Barrier) String() string {
	which := "what its rules do not accept"
	if b.Closed {
		which = "everything"
	}
	return fmt.Sprintf("chain %s of table %s drops %s, and what another table accepts, too", b.Chain, b.Table, which)
}

// Meets tells whether packets of the address's family pass the chain.
func (b Barrier) Meets(addr netip.Addr) bool {
	switch family, _, _ := strings.Cut(b.Table, " "); family {
	case "ip", "iptables-legacy":
		return addr.Is4()
	case "ip6", "ip6tables-legacy":
		return addr.Is6()
	}
	return true
}

// UsedByIPTables tells whether the chain is the FORWARD of the programs which the
// backend iptables starts: a host can have rules of the other variant, too, nft or
// legacy.
func (b Barrier) UsedByIPTables() bool {
	if b.Chain != forwardChain {
		return false
	}
	for _, f := range families() {
		switch b.Table {
		case familyName(f.table) + " filter":
			return f.isNFT()
		case f.program("-legacy") + " filter":
			return !f.isNFT()
		}
	}
	return false
}

// UsualBarriers looks at the chains that most hosts have, by their names: those
// of iptables, and of nftables as distributions set it up. AllBarriers looks at
// every chain. Both leave out what no packet of the addresses passes.
func UsualBarriers(ctx context.Context, addrs []netip.Addr) ([]Barrier, error) {
	return barriers(ctx, addrs, func(c *conn) ([]*nftables.Chain, error) {
		var chains []*nftables.Chain
		for _, usual := range []struct {
			family nftables.TableFamily
			chain  string
		}{{nftables.TableFamilyIPv4, forwardChain}, {nftables.TableFamilyIPv6, forwardChain}, {nftables.TableFamilyINet, "forward"}} {
			table := &nftables.Table{Family: usual.family, Name: "filter"}
			there, err := c.hasChain(table, usual.chain)
			if err != nil {
				return nil, err
			}
			if !there {
				continue
			}
			chain, err := c.ListChain(table, usual.chain)
			if err != nil {
				return nil, explain(err)
			}
			chains = append(chains, chain)
		}
		return chains, nil
	})
}

// AllBarriers is for those who have more time, see UsualBarriers.
func AllBarriers(ctx context.Context, addrs []netip.Addr) ([]Barrier, error) {
	return barriers(ctx, addrs, func(c *conn) ([]*nftables.Chain, error) {
		chains, err := c.ListChains()
		return chains, explain(err)
	})
}

func barriers(ctx context.Context, addrs []netip.Addr, list func(*conn) ([]*nftables.Chain, error)) ([]Barrier, error) {
	found := legacyBarriers(addrs)
	err := withConn(ctx, func(c *conn) error {
		chains, err := list(c)
		if err != nil {
			return err
		}
		for _, chain := range chains {
			if !isPassed(chain, addrs) {
				continue
			}
			b, drops, err := c.barrierAt(chain)
			if err != nil {
				return err
			}
			if drops {
				found = append(found, b)
			}
		}
		return nil
	})
	if errors.Is(err, errNoNFTables) {
		return found, nil
	}
	return found, err
}

// barrierAt reads a chain. Whether the table filters at all is asked last: few
// chains are barriers.
func (c *conn) barrierAt(chain *nftables.Chain) (b Barrier, drops bool, err error) {
	rules, err := c.GetRules(chain.Table, chain)
	if err != nil {
		return b, false, explain(err)
	}
	if b, drops = barrierOf(chain, rules); !drops {
		return b, false, nil
	}
	dormant, err := c.isDormant(chain.Table)
	return b, !dormant, err
}

// isPassed tells whether forwarded packets of one of the addresses come to a
// chain of others first thing.
func isPassed(chain *nftables.Chain, addrs []netip.Addr) bool {
	if chain.Hooknum == nil || *chain.Hooknum != *nftables.ChainHookForward || chain.Type != nftables.ChainTypeFilter {
		return false
	}
	if chain.Table.Name == firewallTable || chain.Table.Name == isolationTable {
		return false
	}
	switch chain.Table.Family {
	case nftables.TableFamilyIPv4:
		return slices.ContainsFunc(addrs, netip.Addr.Is4)
	case nftables.TableFamilyIPv6:
		return slices.ContainsFunc(addrs, netip.Addr.Is6)
	}
	return chain.Table.Family == nftables.TableFamilyINet
}

// barrierOf tells whether a chain ends in dropping.
func barrierOf(chain *nftables.Chain, rules []*nftables.Rule) (Barrier, bool) {
	b := Barrier{Table: familyName(chain.Table.Family) + " " + chain.Table.Name, Chain: chain.Name}
	if end := slices.IndexFunc(rules, dropsAll); end >= 0 {
		b.Closed = !slices.ContainsFunc(rules[:end], mayAccept)
		return b, true
	}
	b.Closed = !slices.ContainsFunc(rules, mayAccept)
	return b, chain.Policy != nil && *chain.Policy == nftables.ChainPolicyDrop
}

// dropsAll tells whether a rule drops or rejects whatever comes to it.
func dropsAll(rule *nftables.Rule) bool {
	return !mayAccept(rule) && !slices.ContainsFunc(rule.Exprs, func(e expr.Any) bool {
		switch e := e.(type) {
		case *expr.Counter, *expr.Log, *expr.Reject, *expr.Verdict, *expr.Target:
			return false
		case *expr.Match:
			return e.Name != "comment"
		}
		return true
	})
}

// mayAccept tells whether a rule ends, for any packet, otherwise than by dropping.
func mayAccept(rule *nftables.Rule) bool {
	if len(rule.Exprs) == 0 || slices.ContainsFunc(rule.Exprs, mayDecide) {
		return true
	}
	switch last := rule.Exprs[len(rule.Exprs)-1].(type) {
	case *expr.Verdict: // it drops
		return false
	case *expr.Target:
		return last.Name != "REJECT"
	case *expr.Reject:
		return false
	}
	return true
}

// mayDecide tells whether an expression may have another verdict than to drop. A
// map of verdicts may for those packets that are in it, whatever the rule does
// with the rest.
func mayDecide(e expr.Any) bool {
	switch e := e.(type) {
	case *expr.Verdict:
		return e.Kind != expr.VerdictDrop
	case *expr.Lookup:
		return e.IsDestRegSet && e.DestRegister == unix.NFT_REG_VERDICT
	}
	return false
}
