// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import "strings"

// diff lists the lines that only one of two snapshots has, or "" if they are
// equal: with "-" what has gone, with "+" what has come.
func diff(before, after string) string {
	if before == after {
		return ""
	}
	gone, come := excess(before, after), excess(after, before)
	if len(gone)+len(come) == 0 {
		return "  the order of lines, in:\n" + after
	}
	var text strings.Builder
	for _, line := range gone {
		text.WriteString("  - " + line + "\n")
	}
	for _, line := range come {
		text.WriteString("  + " + line + "\n")
	}
	return text.String()
}

// excess lists the lines of a that b does not have, or not as often.
func excess(a, b string) []string {
	count := map[string]int{}
	for _, line := range strings.Split(b, "\n") {
		count[line]++
	}
	var extra []string
	for _, line := range strings.Split(a, "\n") {
		if count[line] == 0 {
			extra = append(extra, line)
			continue
		}
		count[line]--
	}
	return extra
}
