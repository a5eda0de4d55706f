// SPDX-License-Identifier: Apache-2.0

package presubmit

import (
	"strings"
	"testing"
)

// exemption allows what a rule forbids.
type exemption struct {
	rule    string
	where   string // a file or directory
	subject string // what the name or text that the offence is about begins with
	reason  string
}

// exempt returns the exceptions from the rules. Think twice: changing the code
// is nearly always the better answer.
func exempt() []exemption {
	const (
		compatible = "programs and tests written for upstream look for this text"
		delegates  = "the protocol says that a delegate is run as a process"
		entry      = "it is written before Go's runtime has started, which cannot be done otherwise, and by nobody later"
	)
	return []exemption{
		{"forks", "pkg/ipam", "", delegates},
		{"forks", "pkg/plugin", "", "an interface made for SELinux's sake by another process, if a configuration asks for it"},
		{"forks", "internal/netfilter", "", "the rules of iptables are written by its own programs, so that these and others can read them"},
		{"forks", "pkg/utils", "", "SupportsIPTables and SupportsNFTables are upstream's, and ask the binaries by contract"},
		{"init", "internal/startup", "", "what it sets has to be set before other packages are initialised; only main packages import it"},
		{"package state", "internal/startup", "few", entry},
		{"package state", "internal/startup", "files", entry},
		{"error text", "plugins/ipam/dhcp", "error ", compatible},
		{"error text", "plugins/ipam/dhcp", "Error writing pidfile ", compatible},
		{"error text", "plugins/ipam/dhcp", "Too many (%d) FDs passed ", compatible},
		{"exit", "plugins/ipam/dhcp", "flag", "the daemon is a program of its own, with a set of flags of its own"},
		{"stderr", "plugins/ipam/dhcp/plugin/daemon.go", "os.Stderr", "the daemon has a log of its own"},
		{"error text", "plugins/ipam/host-local", "failed to allocate ", compatible},
		{"error text", "plugins/ipam/host-local", "Failed to find address added by container ", compatible},
	}
}

// usedExemptions remembers which exceptions an offence was found for.
var usedExemptions = map[exemption]bool{}

func isExempt(rule string, s *source, subject string) bool {
	for _, e := range exempt() {
		if e.rule == rule && s.in(e.where) && strings.HasPrefix(subject, e.subject) {
			usedExemptions[e] = true
			return true
		}
	}
	return false
}

// expectExemptionsUsed fails for exceptions that nothing needs any more.
func expectExemptionsUsed(t *testing.T) {
	for _, e := range exempt() {
		if e.reason == "" {
			t.Errorf("the exemption of %s from %q has no reason", e.where, e.rule)
		}
		if !usedExemptions[e] {
			t.Errorf("nothing in %s offends against %q (%s) any more: remove the exemption", e.where, e.rule, e.subject)
		}
	}
}
