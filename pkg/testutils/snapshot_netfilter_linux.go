// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// nftLines lists the nftables ruleset. The tool is needed to tell what the
// tables contain: without it a comparison would pass whatever was left behind.
func (k kernelView) nftLines() ([]string, error) {
	if len(k.tables) == 0 {
		return nil, nil
	}
	listing, err := output("nft", "--stateless", "list", "ruleset")
	if err != nil {
		return nil, fmt.Errorf("%w (package nftables)", err)
	}
	return canonicalNft(listing), nil
}

// nftTables asks the kernel, which takes a hundredth of the time a fork does. A
// kernel without nftables has none.
func nftTables() ([]*nftables.Table, error) {
	conn, closeConn, err := nftHere()
	if err != nil {
		return nil, err
	}
	defer closeConn()
	tables, err := conn.ListTables()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, nil
	}
	return tables, err
}

// nftHere talks about the nftables of the current namespace.
func nftHere() (*nftables.Conn, func() error, error) {
	netns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, nil, err
	}
	conn, err := nftables.New(nftables.WithNetNSFd(int(netns.Fd())))
	if err != nil {
		netns.Close()
		return nil, nil, err
	}
	return conn, netns.Close, nil
}

// canonicalNft sorts what has no order in the kernel: tables, the sets, maps
// and chains of a table, and the elements of a set.
func canonicalNft(listing string) []string {
	var tables []string
	for _, table := range blocks(nftRows(listing), "") {
		tables = append(tables, canonicalTable(table))
	}
	slices.Sort(tables)
	return tables
}

// nftRows splits a listing into rows without comments. The elements of a set,
// which nft wraps as it likes, become sorted rows of their own.
func nftRows(listing string) []string {
	const elements = "elements = {"
	var rows []string
	for listing != "" {
		row, rest, _ := strings.Cut(listing, "\n")
		if indent, _, ok := strings.Cut(row, elements); ok && strings.TrimSpace(indent) == "" {
			inner, after := closing(listing[len(indent)+len(elements):])
			rows = append(rows, sortedElements(indent, inner)...)
			_, rest, _ = strings.Cut(after, "\n")
		} else if strings.TrimSpace(row) != "" && !strings.HasPrefix(row, "#") {
			rows = append(rows, row)
		}
		listing = rest
	}
	return rows
}

func sortedElements(indent, inner string) []string {
	var rows []string
	for _, element := range splitOutside(inner, ',') {
		rows = append(rows, indent+"element "+strings.Join(strings.Fields(element), " "))
	}
	slices.Sort(rows)
	return rows
}

// closing splits text, which follows an opening brace, at the brace that
// matches it.
func closing(text string) (inner, tail string) {
	at := indexOutside(text, '}')
	if at < 0 {
		return text, ""
	}
	return text[:at], text[at+1:]
}

// splitOutside splits text at every sep outside of quotes and braces.
func splitOutside(text string, sep byte) []string {
	at := indexOutside(text, sep)
	if at < 0 {
		return []string{text}
	}
	return append([]string{text[:at]}, splitOutside(text[at+1:], sep)...)
}

// indexOutside finds the first sep outside of quotes and braces.
func indexOutside(text string, sep byte) int {
	depth, quoted := 0, false
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == sep && depth == 0:
			return i
		case c == '{':
			depth++
		case c == '}':
			depth--
		}
	}
	return -1
}

// blocks groups rows into blocks that end with a closing brace at indent.
func blocks(rows []string, indent string) [][]string {
	var all [][]string
	var block []string
	for _, row := range rows {
		block = append(block, row)
		if row == indent+"}" {
			all, block = append(all, block), nil
		}
	}
	if len(block) > 0 {
		all = append(all, block)
	}
	return all
}

// canonicalTable sorts the blocks inside a table's first and last row.
func canonicalTable(table []string) string {
	if len(table) < 2 {
		return strings.Join(table, "\n")
	}
	var objects []string
	for _, object := range blocks(table[1:len(table)-1], "\t") {
		objects = append(objects, strings.Join(object, "\n"))
	}
	slices.Sort(objects)
	return strings.Join(slices.Concat(table[:1], objects, table[len(table)-1:]), "\n")
}

// iptablesLines lists the rules that iptables made, in its own words: nft shows
// the ones in its tables, but not all that they match.
func (k kernelView) iptablesLines() ([]string, error) {
	var all []string
	for _, one := range []struct {
		name   string
		family nftables.TableFamily
		legacy string
	}{
		{"iptables", nftables.TableFamilyIPv4, "ip_tables_names"},
		{"ip6tables", nftables.TableFamilyIPv6, "ip6_tables_names"},
	} {
		commands, err := saveCommands(one.name, hasIptablesTable(k.tables, one.family), hasLegacyTable(one.legacy))
		if err != nil {
			return nil, err
		}
		for _, command := range commands {
			saved, err := output(command)
			if err != nil {
				return nil, err
			}
			all = append(all, canonicalSave(command, saved)...)
		}
	}
	return all, nil
}

// hasIptablesTable tells whether there is an nftables table that iptables may
// have made.
func hasIptablesTable(tables []*nftables.Table, family nftables.TableFamily) bool {
	names := []string{"filter", "nat", "mangle", "raw", "security"}
	return slices.ContainsFunc(tables, func(table *nftables.Table) bool {
		return table.Family == family && slices.Contains(names, table.Name)
	})
}

// hasLegacyTable tells whether the other kernel interface has tables. A list
// that cannot be read counts: the command that fails on it says why.
func hasLegacyTable(list string) bool {
	names, err := os.ReadFile("/proc/thread-self/net/" + list)
	return len(names) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// saveCommands are the commands that list the rules of a family.
func saveCommands(family string, byNft, legacy bool) ([]string, error) {
	var commands []string
	if byNft {
		commands = append(commands, firstInstalled(family+"-nft-save")...)
	}
	if legacy {
		found := firstInstalled(family+"-legacy-save", family+"-save")
		if len(found) == 0 {
			return nil, fmt.Errorf("there are legacy %s rules, and no %s-legacy-save to show them (package iptables)", family, family)
		}
		commands = append(commands, found...)
	}
	return commands, nil
}

func firstInstalled(commands ...string) []string {
	for _, command := range commands {
		if _, err := exec.LookPath(command); err == nil {
			return []string{command}
		}
	}
	return nil
}

// canonicalSave leaves comments, which have the time, and counters out. The
// order of chains and rules is the kernel's; that of tables is not.
func canonicalSave(command, saved string) []string {
	counters := regexp.MustCompile(` ?\[[0-9]+:[0-9]+\] ?`)
	var tables []string
	for _, table := range strings.SplitAfter(saved, "\nCOMMIT\n") {
		var rows []string
		for _, row := range strings.Split(table, "\n") {
			if row != "" && !strings.HasPrefix(row, "#") {
				rows = append(rows, command+" "+counters.ReplaceAllString(row, ""))
			}
		}
		if len(rows) > 0 {
			tables = append(tables, strings.Join(rows, "\n"))
		}
	}
	slices.Sort(tables)
	return tables
}

// output runs a command in the current namespace and returns what it prints.
func output(command string, args ...string) (string, error) {
	var stderr strings.Builder
	cmd := exec.Command(command, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", command, err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
