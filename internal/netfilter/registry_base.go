// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// What the owners in a registry share.

// queueBase queues the objects that all owners share, as far as they are not
// there: an "nft flush" is mended by the next ADD.
func (r *registry) queueBase(c *conn, pairs []pair) error {
	needed := slices.Clone(r.always)
	for _, p := range pairs {
		if p.set.name != "" {
			needed = append(needed, p.set)
		}
	}
	rules, err := c.GetRules(&r.table, r.baseChain())
	if err != nil {
		return explain(err)
	}
	if !r.soundBase(rules) {
		return r.queueNewBase(c, needed)
	}
	for _, set := range distinct(needed) {
		if hasRule(rules, set.rule) {
			continue
		}
		if err := r.queueSet(c, set.name, set.companion); err != nil {
			return err
		}
		c.InsertRule(&nftables.Rule{Table: &r.table, Chain: r.baseChain(), Exprs: set.rule})
	}
	return nil
}

func distinct(sets []pairSet) []pairSet {
	byName := func(a, b pairSet) int { return strings.Compare(a.name, b.name) }
	slices.SortStableFunc(sets, byName)
	return slices.CompactFunc(sets, func(a, b pairSet) bool { return a.name == b.name })
}

func (r *registry) baseChain() *nftables.Chain {
	chain := r.base
	chain.Table = &r.table
	return &chain
}

// soundBase tells whether the base chain ends as it should and has only rules of
// sets of pairs ahead of that, each once.
func (r *registry) soundBase(rules []*nftables.Rule) bool {
	lookups := len(rules) - len(r.last)
	if lookups < 0 || !sameRules(rules[lookups:], r.last) {
		return false
	}
	seen := map[string]bool{}
	for _, rule := range rules[:lookups] {
		set, known := r.named(lookupIn(rule))
		if !known || seen[set.name] || !sameRule(rule, set.rule) {
			return false
		}
		seen[set.name] = true
	}
	return true
}

// lookupIn returns the name of the set that a rule consults, or "".
func lookupIn(rule *nftables.Rule) string {
	for _, e := range rule.Exprs {
		if lookup, ok := e.(*expr.Lookup); ok {
			return lookup.SetName
		}
	}
	return ""
}

func hasRule(rules []*nftables.Rule, exprs []expr.Any) bool {
	return slices.ContainsFunc(rules, func(rule *nftables.Rule) bool { return sameRule(rule, exprs) })
}

// queueNewBase queues the table, its sets and all of the base chain. Of two first
// ADDs at once one fails, because the table is there when it commits, and finds
// a sound base when it tries again.
func (r *registry) queueNewBase(c *conn, needed []pairSet) error {
	exists, err := c.hasTable(&r.table)
	if err != nil {
		return err
	}
	if !exists {
		if err := stopAtFlush(c.ctx); err != nil {
			return err
		}
		c.CreateTable(&r.table)
	}
	existing, err := c.sets(&r.table)
	if err != nil {
		return err
	}
	for _, set := range existing {
		if known, ok := r.named(set); ok {
			needed = append(needed, known)
		}
	}
	return r.queueWholeBase(c, distinct(needed))
}

func (r *registry) queueWholeBase(c *conn, sets []pairSet) error {
	if err := r.queueSet(c, r.subjects); err != nil {
		return err
	}
	c.AddChain(r.baseChain())
	c.FlushChain(r.baseChain())
	var rules [][]expr.Any
	for _, set := range sets {
		if err := r.queueSet(c, set.name, set.companion); err != nil {
			return err
		}
		rules = append(rules, set.rule)
	}
	for _, rule := range append(rules, r.last...) {
		c.AddRule(&nftables.Rule{Table: &r.table, Chain: r.baseChain(), Exprs: rule})
	}
	return nil
}

// queueSet queues a set of subjects or, with the type of a companion, of pairs.
func (r *registry) queueSet(c *conn, name string, companion ...nftables.SetDatatype) error {
	set := r.set(name)
	set.ID = 1 // any: our rules name their sets. For 0 the package would change a variable of its own
	set.KeyType = r.subject
	set.KeyByteOrder = binaryutil.BigEndian
	if r.subject == nftables.TypeIFName {
		set.KeyByteOrder = binaryutil.NativeEndian // for nft, which lists the keys by it
	}
	if len(companion) > 0 {
		set.Concatenation = true
		set.KeyType = nftables.MustConcatSetType(r.subject, companion[0])
	}
	return c.AddSet(set, nil)
}
