// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Bench compares how long the plugins take with those of another build, by default Debian's containernetworking-plugins
// 1.1.1. Both run alternately, from copies that are written in the same way, so that whatever else the machine does falls
// on both, and medians are compared:
//
//	bench [-n 50] [-check] [-json] [-only REGEXP] [-preload N] [-parallel P] [-ours DIR] [-theirs DIR]
//
// It must run in mount and network namespaces of its own; scripts/bench.sh makes them. With -check the exit status is 1
// when a figure misses its limit.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
)

func main() {
	var s settings
	flag.IntVar(&s.runs, "n", 50, "measurements of each kind")
	flag.IntVar(&s.preload, "preload", 0, "compare each chain of ours on a host with this many attachments with an empty one, too")
	flag.IntVar(&s.parallel, "parallel", 0, "compare how fast each chain is added by this many at a time, too")
	flag.StringVar(&s.ours, "ours", "bin", "directory of the plugins to measure")
	flag.StringVar(&s.theirs, "theirs", "/usr/lib/cni", "directory of the plugins to compare with")
	flag.StringVar(&s.bare, "bare", "", "a Go program that does nothing")
	only := flag.String("only", "", "measure only what has a name like this")
	asJSON := flag.Bool("json", false, "print JSON instead of a table")
	enforce := flag.Bool("check", false, "fail when a limit is missed")
	flag.Parse()

	met, err := compare(s, *only, *asJSON)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if *enforce && !met {
		os.Exit(1)
	}
}

// settings are the command line.
type settings struct {
	runs, preload, parallel int
	ours, theirs, bare      string
	only                    *regexp.Regexp
}

// compare measures everything, prints the figures and says whether all limits are met.
func compare(s settings, only string, asJSON bool) (met bool, err error) {
	if s.only, err = regexp.Compile(only); err != nil {
		return false, fmt.Errorf("-only: %w", err)
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	copied, err := s.copied(dir)
	if err != nil {
		return false, err
	}
	var rows []row
	for _, measure := range []func(settings) ([]row, error){startUps, chains, netavark, leases} {
		measured, err := measure(copied)
		if err != nil {
			return false, err
		}
		rows = append(rows, measured...)
	}
	if asJSON {
		return printJSON(os.Stdout, s, rows)
	}
	return printTable(os.Stdout, s, rows), nil
}
