// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"bufio"
	"slices"
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
