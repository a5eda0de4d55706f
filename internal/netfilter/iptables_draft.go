// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// saved returns a table as iptables-save prints it.
func (f family) saved(ctx context.Context, name string) (savedTable, error) {
	output, err := f.run(ctx, "-save", "", "-t", name)
	return parseTable(output), err
}

// draft is a change of a table: what iptables-restore is to do, and what the
// table will be then.
type draft struct {
	table savedTable
	lines []string
}

// input returns what iptables-restore has to read, or "" if there is nothing to
// do.
func (d *draft) input(table string) string {
	if len(d.lines) == 0 {
		return ""
	}
	return "*" + table + "\n" + strings.Join(d.lines, "\n") + "\nCOMMIT\n"
}

func (d *draft) line(words ...string) { d.lines = append(d.lines, strings.Join(words, " ")) }

// addChain makes a chain unless it is there.
func (d *draft) addChain(chain string) {
	if !d.table.has(chain) {
		d.line("-N", chain)
		d.table[chain] = nil
	}
}

// append adds a rule to the end of its chain unless it is there.
func (d *draft) append(chain string, rule ruleWords) {
	if d.table.index(chain, rule) < 0 {
		d.line("-A", chain, rule.String())
		d.table[chain] = append(d.table[chain], rule)
	}
}

// fill adds rules to the end of a chain that has none, each once. They may be too
// many to look for each among the others.
func (d *draft) fill(chain string, rules []ruleWords) {
	filled := map[string]bool{}
	for _, rule := range rules {
		if words := rule.String(); !filled[words] {
			filled[words] = true
			d.line("-A", chain, words)
			d.table[chain] = append(d.table[chain], rule)
		}
	}
}

// prepend adds a rule at the head of its chain unless it is there.
func (d *draft) prepend(chain string, rule ruleWords) {
	if d.table.index(chain, rule) < 0 {
		d.line("-I", chain, strconv.Itoa(1), rule.String())
		d.table[chain] = slices.Insert(slices.Clone(d.table[chain]), 0, rule)
	}
}

// delete deletes all instances of a rule.
func (d *draft) delete(chain string, rule ruleWords) {
	for {
		at := d.table.index(chain, rule)
		if at < 0 {
			return
		}
		d.line("-D", chain, rule.String())
		d.table[chain] = slices.Delete(slices.Clone(d.table[chain]), at, at+1)
	}
}

// flush deletes all rules of a chain that is there.
func (d *draft) flush(chain string) {
	d.line("-F", chain)
	d.table[chain] = nil
}

// deleteChain deletes a chain, with its rules, that nothing jumps to.
func (d *draft) deleteChain(chain string) {
	if d.table.has(chain) {
		d.line("-F", chain)
		d.line("-X", chain)
		delete(d.table, chain)
	}
}
