// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"bufio"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// savedChain is a container's masquerade chain in iptables and the jumps to it.
type savedChain struct {
	name        string
	comment     string      // on its rules; names the network and the container
	jumps       []savedRule // in POSTROUTING, by source
	accepts     []savedRule // ahead of the MASQUERADE rule, by destination
	masquerades bool
}

// savedRule is a rule as iptables-save prints it or as nf_tables holds it.
type savedRule struct {
	prefix netip.Prefix
	text   string
	handle uint64
}

// jumpsFrom tells whether packets from addr come to the chain.
func (s savedChain) jumpsFrom(addr netip.Addr) bool {
	return slices.ContainsFunc(s.jumps, func(r savedRule) bool {
		return r.prefix == netip.PrefixFrom(addr, addr.BitLen())
	})
}

func (s savedChain) acceptsTo(subnet netip.Prefix) bool {
	return slices.ContainsFunc(s.accepts, func(r savedRule) bool { return r.prefix == subnet })
}

// isFromOneOf tells whether a jump is for the source of one of the addresses.
// Until 2019 upstream wrote jumps with the prefix length of the address.
func (r savedRule) isFromOneOf(prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
		return r.prefix == netip.PrefixFrom(p.Addr(), p.Addr().BitLen()) || r.prefix == p.Masked()
	})
}

// without returns what the chain needs when an attachment with these addresses
// is gone.
func (s savedChain) without(prefixes []netip.Prefix) savedChain {
	return s.keeping(func(jump savedRule) bool { return !jump.isFromOneOf(prefixes) })
}

// only returns what the chain needs for these addresses, of those it serves.
func (s savedChain) only(prefixes []netip.Prefix) savedChain {
	return s.keeping(func(jump savedRule) bool { return jump.isFromOneOf(prefixes) })
}

// keeping returns the chain with some of the jumps, and with the ACCEPT rules
// for the subnets of their sources.
func (s savedChain) keeping(needed func(jump savedRule) bool) savedChain {
	rest := s
	rest.jumps = slices.DeleteFunc(slices.Clone(s.jumps), func(r savedRule) bool { return !needed(r) })
	rest.accepts = slices.DeleteFunc(slices.Clone(s.accepts), func(r savedRule) bool {
		return !slices.ContainsFunc(rest.jumps, func(jump savedRule) bool { return r.prefix.Contains(jump.prefix.Addr()) })
	})
	return rest
}

// differs tells whether something has to be deleted to get to rest.
func (s savedChain) differs(rest savedChain) bool {
	return len(rest.jumps) == 0 || len(s.rulesNotIn(rest)) > 0
}

// rulesNotIn returns the rules that have to be deleted one by one to get to
// rest. The rules of the chain itself go with it, after its last jump.
func (s savedChain) rulesNotIn(rest savedChain) []savedRule {
	gone := func(now, then []savedRule) []savedRule {
		return slices.DeleteFunc(slices.Clone(now), func(r savedRule) bool { return slices.Contains(then, r) })
	}
	rules := gone(s.jumps, rest.jumps)
	if len(rest.jumps) > 0 {
		rules = append(rules, gone(s.accepts, rest.accepts)...)
	}
	return rules
}

// stale tells whether the chain belongs to a container that has no valid
// attachment to the network any more. The comment has to fit the name: other
// plugins have chains with similar comments.
func (s savedChain) stale(attachments plugin.Attachments) bool {
	quoted, ours := strings.CutPrefix(s.comment, commentPrefix(attachments.Network()))
	id, err := strconv.Unquote(quoted)
	return ours && err == nil &&
		s.name == rulename.Chain(attachments.Network(), id, "") &&
		!attachments.HasContainer(id)
}

// commentPrefix returns how rulename.Comment begins for every container of
// a network.
func commentPrefix(network string) string { return fmt.Sprintf("name: %q id: ", network) }

// parseSave reads the output of "iptables-save -t nat" and returns the chains
// that may be masquerade chains, by name.
func parseSave(text string) map[string]savedChain {
	chains := map[string]savedChain{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, ":CNI-"); ok {
			name, _, _ = strings.Cut("CNI-"+name, " ")
			chains[name] = savedChain{name: name}
			continue
		}
		parseSavedRule(chains, line)
	}
	return chains
}

// parseSavedRule files one line "-A CHAIN …" under the chain it belongs to.
// Chains are declared ahead of all rules.
func parseSavedRule(chains map[string]savedChain, line string) {
	words := splitSaved(line)
	if len(words) < 2 || words[0] != "-A" {
		return
	}
	target := after(words, "-j")
	if jumped, ok := chains[target]; ok && words[1] == "POSTROUTING" {
		jumped.comment = cmp.Or(jumped.comment, after(words, "--comment"))
		jumped.jumps = append(jumped.jumps, savedRule{prefix: parsePrefix(after(words, "-s")), text: line})
		chains[target] = jumped
		return
	}
	chain, ok := chains[words[1]]
	if !ok {
		return
	}
	switch target {
	case "ACCEPT":
		if !chain.masquerades {
			chain.accepts = append(chain.accepts, savedRule{prefix: parsePrefix(after(words, "-d")), text: line})
		}
	case "MASQUERADE":
		chain.masquerades = true
	}
	chain.comment = cmp.Or(chain.comment, after(words, "--comment"))
	chains[chain.name] = chain
}

// after returns the word after option, or "".
func after(words []string, option string) string {
	if i := slices.Index(words, option); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

// parsePrefix returns the zero Prefix for a text that is none.
func parsePrefix(text string) netip.Prefix {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	prefix, _ := netip.ParsePrefix(text)
	return prefix
}

// splitSaved splits a line of iptables-save into words. Words with spaces are
// in double quotes, in which a backslash escapes a quote or a backslash.
func splitSaved(line string) []string {
	var words []string
	var word strings.Builder
	quoted, started := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted, started = !quoted, true
		case c == '\\' && quoted && i+1 < len(line):
			i++
			word.WriteByte(line[i])
		case c == ' ' && !quoted:
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if started {
		words = append(words, word.String())
	}
	return words
}

// quoteForRestore quotes a word for iptables-restore.
func quoteForRestore(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}
