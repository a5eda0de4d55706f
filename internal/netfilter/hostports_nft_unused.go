// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/nftables"
)

// Maps with conditions and the sets of a network come with the first attachment that
// needs them, each with a rule that looks into it, past which every new connection
// goes. They leave when nothing is in them any more.

// DropUnused removes those that earlier attachments have left, and ends GuardLoopback
// for devices that are gone.
func DropUnused(ctx context.Context) error {
	return orIPTables(ctx, func(c *conn) error { return dropUnused(ctx, c) })
}

// orIPTables is withConn, but has iptables forget devices where there is no nf_tables.
func orIPTables(ctx context.Context, f func(*conn) error) error {
	err := withConn(ctx, f)
	if errors.Is(err, errNoNFTables) {
		return unlessAbsent(families()[0].forgetGoneDevices(ctx))
	}
	return err
}

func dropUnused(ctx context.Context, c *conn) error {
	g := newLoopbackGuard()
	errs := []error{g.wrap(g.forgetGone(ctx, c, 1))}
	for _, f := range families() {
		errs = append(errs, f.portTable().dropUnused(ctx, c, func(string) bool { return true }))
	}
	return errors.Join(errs...)
}

// extraIn returns what tells a map with conditions, or the set of a network, from the
// one that all have: how its name ends.
func extraIn(set string) (ending string, ok bool) {
	name, hash, ok := strings.Cut(set, "-")
	ours := name == portsMap || name == addressesMap || strings.HasPrefix(name, sourcesOf)
	return "-" + hash, ok && ours
}

// extrasIn returns the endings of those that items are in.
func extrasIn(items []item) []string {
	var endings []string
	for _, i := range items {
		if ending, ok := extraIn(i.set); ok && !slices.Contains(endings, ending) {
			endings = append(endings, ending)
		}
	}
	return endings
}

// dropUnused removes what is empty of the maps and sets with selected endings, and the
// rules that look into it. Who was about to put something there, and had found it,
// fails and plans anew. If something has come in meanwhile, the removal does.
func (t portTable) dropUnused(ctx context.Context, c *conn, selected func(ending string) bool) error {
	err := c.retrying(ctx, func(c *conn) error {
		unused, err := t.unused(c, selected)
		if err != nil || len(unused) == 0 {
			return err
		}
		rules, err := t.rulesInto(c, unused)
		if err != nil {
			return err
		}
		return c.deleteEmpty(rules, &t.registry.table, unused)
	})
	return t.wrap(err)
}

// unused returns the names of what is empty. The two maps of the same conditions go
// together, as they came.
func (t portTable) unused(c *conn, selected func(ending string) bool) ([]string, error) {
	sets, err := c.sets(&t.registry.table)
	if err != nil {
		return nil, err
	}
	var empty []string
	used := map[string]bool{} // maps, by their ending
	for _, name := range sets {
		ending, extra := extraIn(name)
		if !extra || !selected(ending) {
			continue
		}
		elements, err := c.elements(t.set(name))
		if err != nil {
			return nil, err
		}
		if len(elements) == 0 {
			empty = append(empty, name)
		} else if !strings.HasPrefix(name, sourcesOf) {
			used[ending] = true
		}
	}
	return slices.DeleteFunc(empty, func(name string) bool {
		ending, _ := extraIn(name)
		return !strings.HasPrefix(name, sourcesOf) && used[ending]
	}), nil
}

// rulesInto returns the rules that look into sets.
func (t portTable) rulesInto(c *conn, sets []string) ([]*nftables.Rule, error) {
	var found []*nftables.Rule
	for _, chain := range []string{mappingsChain, masqueradingChain} {
		rules, err := c.GetRules(&t.registry.table, t.chain(chain))
		if err != nil {
			return nil, explain(err)
		}
		for _, rule := range rules {
			if slices.Contains(sets, lookupIn(rule)) {
				found = append(found, rule)
			}
		}
	}
	return found, nil
}
