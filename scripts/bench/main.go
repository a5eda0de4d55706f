// SPDX-License-Identifier: Apache-2.0

// Bench compares how long the plugins take with those of another build, by default Debian's containernetworking-plugins
// 1.1.1. Both run alternately, so that whatever else the machine does falls on both, and medians are compared:
//
//	bench [-n 50] [-check] [-ours DIR] [-theirs DIR]
//
// It must run in mount and network namespaces of its own; scripts/bench.sh makes them. With -check the exit status is 1
// when a figure misses its limit.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	runs := flag.Int("n", 50, "measurements of each kind")
	enforce := flag.Bool("check", false, "fail when a limit is missed")
	ours := flag.String("ours", "bin", "directory of the plugins to measure")
	theirs := flag.String("theirs", "/usr/lib/cni", "directory of the plugins to compare with")
	bare := flag.String("bare", "", "a Go program that does nothing")
	flag.Parse()

	met, err := compare(settings{*runs, *ours, *theirs, *bare})
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
	runs               int
	ours, theirs, bare string
}

// compare measures everything, prints the table and says whether all limits are met.
func compare(s settings) (met bool, err error) {
	var rows []row
	for _, measure := range []func(settings) ([]row, error){startUp, attachments, leases} {
		measured, err := measure(s)
		if err != nil {
			return false, err
		}
		rows = append(rows, measured...)
	}
	return printTable(os.Stdout, s, rows), nil
}
