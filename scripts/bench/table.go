// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// samples are the times of one kind of call.
type samples struct{ times []time.Duration }

func (s *samples) add(elapsed time.Duration) { s.times = append(s.times, elapsed) }

// quantile is the time that the share q of the samples does not exceed.
func (s samples) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(s.times))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func (s samples) median() time.Duration { return s.quantile(0.5) }

// row is a line of the table; limit is the most that ours / theirs may be, 0 for no limit.
type row struct {
	name         string
	ours, theirs samples
	limit        float64
}

func (r row) ratio() float64 { return float64(r.ours.median()) / float64(r.theirs.median()) }

func (r row) met() bool { return r.limit == 0 || r.ratio() <= r.limit }

func (r row) verdict() string {
	switch {
	case r.limit == 0:
		return ""
	case r.met():
		return fmt.Sprintf("<= %.2f", r.limit)
	}
	return fmt.Sprintf("> %.2f MISSED", r.limit)
}

// printTable shows the table and says whether all limits are met.
func printTable(w io.Writer, s settings, rows []row) (met bool) {
	fmt.Fprintf(w, "%s; medians of %d alternating runs in ms, with [minimum, 90th percentile]\n", machine(), s.runs)
	fmt.Fprintf(w, "ours: %s   theirs: %s (in rows \"a / b\": ours is a, theirs is b)\n\n", s.ours, s.theirs)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tours\t\ttheirs\t\tratio\tlimit")
	met = true
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%.2f\t%s\n", r.name,
			ms(r.ours.median()), r.ours.spread(), ms(r.theirs.median()), r.theirs.spread(), r.ratio(), r.verdict())
		met = met && r.met()
	}
	table.Flush()
	return met
}

func (s samples) spread() string {
	return fmt.Sprintf("[%s, %s]", ms(s.quantile(0)), ms(s.quantile(0.9)))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }

// machine is what the figures depend on.
func machine() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		release = []byte("unknown")
	}
	return fmt.Sprintf("Linux %s, %d processors, %s", strings.TrimSpace(string(release)), runtime.NumCPU(), runtime.Version())
}
