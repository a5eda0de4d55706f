// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/pkg/ns"
)

// Snapshot describes what the namespaces contain, or what the current one does
// when none (or nil) is given: links, addresses, routes, rules, proxied and
// permanent neighbours, queueing disciplines, bridge VLANs, nftables and
// iptables rules. Two snapshots are equal when nothing of that differs: they
// contain neither indexes nor counters nor lifetimes, nothing depends on the
// order things were made in, and what the kernel adds to a link by itself in
// its own time (IPv6 link-local addresses and routes) is left out.
func Snapshot(netns ...ns.NetNS) (string, error) {
	if len(netns) == 0 {
		return snapshotHere()
	}
	var text strings.Builder
	for i, one := range netns {
		part, err := in(one, snapshotHere)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "===== namespace %d =====\n%s", i+1, part)
	}
	return text.String(), nil
}

// section is one part of a snapshot.
type section struct {
	title string
	list  func() ([]string, error)
}

func snapshotHere() (string, error) {
	kernel, err := newKernelView()
	if err != nil {
		return "", err
	}
	defer kernel.close()
	sections := []section{
		{"links", kernel.linkLines},
		{"bridge vlans", kernel.vlanLines},
		{"addresses", kernel.addrLines},
		{"routes", kernel.routeLines},
		{"rules", kernel.ruleLines},
		{"neighbours", kernel.neighLines},
		{"queueing disciplines", kernel.qdiscLines},
		{"nftables", kernel.nftLines},
		{"iptables", kernel.iptablesLines},
	}
	var text strings.Builder
	for _, section := range sections {
		lines, err := section.list()
		if err != nil {
			return "", fmt.Errorf("snapshot of %s: %w", section.title, err)
		}
		writeSection(&text, section.title, lines)
	}
	return text.String(), nil
}

func writeSection(text *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(text, "# %s\n%s\n", title, strings.Join(lines, "\n"))
}

// SnapshotDirs describes the files below the directories: path, mode and
// content. A directory that does not exist is part of the description.
func SnapshotDirs(dirs ...string) (string, error) {
	var lines []string
	for _, dir := range dirs {
		below, err := fileLines(dir)
		if err != nil {
			return "", err
		}
		lines = append(lines, below...)
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "\n"), nil
}

func fileLines(dir string) ([]string, error) {
	if _, err := os.Lstat(dir); os.IsNotExist(err) {
		return []string{fmt.Sprintf("%s does not exist", dir)}, nil
	}
	var lines []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		line, err := fileLine(path, entry)
		lines = append(lines, line)
		return err
	})
	return lines, err
}

func fileLine(path string, entry fs.DirEntry) (string, error) {
	info, err := entry.Info()
	if err != nil {
		return "", err
	}
	line := fmt.Sprintf("%s %s", path, info.Mode())
	switch {
	case info.Mode().IsRegular():
		content, err := os.ReadFile(path)
		return fmt.Sprintf("%s %q", line, content), err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return fmt.Sprintf("%s -> %q", line, target), err
	}
	return line, nil
}
