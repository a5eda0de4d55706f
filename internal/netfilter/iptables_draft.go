// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// change changes a table as plan says, unless that fails. The lock keeps off others
// of ours.
func (f family) change(ctx context.Context, table string, plan func(*draft) error) error {
	return locked(ctx, func() error { return f.changeLocked(ctx, table, plan) })
}

// changeLocked is change for who has the lock.
func (f family) changeLocked(ctx context.Context, table string, plan func(*draft) error) error {
	return planningAnew(func() error {
		d, err := f.draft(ctx, table)
		if err != nil {
			return err
		}
		if err := plan(d); err != nil || len(d.lines) == 0 {
			return err
		}
		return f.restore(ctx, d.input(table))
	})
}

// planningAnew calls try, which reads a table and then changes it, until the change is
// not refused: those who do not care about the lock may have changed the same rules in
// between.
func planningAnew(try func() error) error {
	const tries = 5
	var err error
	for range tries {
		if err = try(); !errors.As(err, new(refused)) {
			return err
		}
	}
	return err
}

// refused is the error of a change that does not go with what is there.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// draft returns a change of a table that changes nothing yet.
func (f family) draft(ctx context.Context, table string) (*draft, error) {
	saved, err := f.saved(ctx, table)
	return &draft{table: saved}, err
}

// unlessAbsent is for what only the legacy programs can remove. Without them, what
// the kernel has stays, and nobody could wait for more.
func unlessAbsent(err error) error {
	if absent(err) {
		return nil
	}
	return err
}

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

// addChain makes a chain unless it is there. One that the draft was to delete is
// flushed only: should others change the ruleset meanwhile, iptables-nft looks again,
// leaves out the -N because the chain is there, and deletes it all the same.
func (d *draft) addChain(chain string) {
	if d.table.has(chain) {
		return
	}
	d.table[chain] = nil
	if deletion := slices.Index(d.lines, "-X "+chain); deletion >= 0 {
		d.lines = slices.Delete(d.lines, deletion, deletion+1)
		return
	}
	d.line("-N", chain)
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
