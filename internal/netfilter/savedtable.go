// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"bufio"
	"slices"
	"strconv"
	"strings"
)

// savedTable is a table of iptables as iptables-save prints it: the rules of
// each chain, in order.
type savedTable map[string][]ruleWords

// ruleWords are the words of a rule as iptables-save prints it, without its
// chain: "-s", "10.1.0.2/32", "-j", "ACCEPT".
type ruleWords []string

// words splits a rule whose words have no spaces.
func words(rule string) ruleWords { return strings.Fields(rule) }

// commented returns the rule with a comment, where iptables-save has it: after
// what it matches by itself, ahead of the target.
func (r ruleWords) commented(comment string) ruleWords {
	at := slices.Index(r, "-j")
	if at < 0 {
		at = len(r)
	}
	return slices.Concat(r[:at], ruleWords{"-m", "comment", "--comment", comment}, r[at:])
}

// String returns the rule for iptables-restore.
func (r ruleWords) String() string {
	quoted := make([]string, len(r))
	for i, word := range r {
		if quoted[i] = word; word == "" || strings.ContainsAny(word, " \t\"'\\#") {
			quoted[i] = quoteForRestore(word)
		}
	}
	return strings.Join(quoted, " ")
}

// parseTable reads what iptables-save prints of one table.
func parseTable(text string) savedTable {
	table := savedTable{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if chain, ok := strings.CutPrefix(line, ":"); ok {
			chain, _, _ = strings.Cut(chain, " ")
			table[chain] = nil
		} else if words := splitSaved(line); len(words) > 2 && words[0] == "-A" {
			table[words[1]] = append(table[words[1]], words[2:])
		}
	}
	return table
}

func (t savedTable) has(chain string) bool {
	_, there := t[chain]
	return there
}

// index returns where the rule is in its chain, from 0, or -1.
func (t savedTable) index(chain string, rule ruleWords) int {
	return slices.IndexFunc(t[chain], func(other ruleWords) bool { return slices.Equal(other, rule) })
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
