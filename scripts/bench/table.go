// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
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

// row is a line of the table. Ours / theirs may be at most limit, or ours at most slack longer; 0 is no limit.
type row struct {
	name         string
	ours, theirs samples
	limit        float64
	slack        time.Duration
}

func (r row) ratio() float64 { return float64(r.ours.median()) / float64(r.theirs.median()) }

func (r row) met() bool {
	return (r.limit == 0 || r.ratio() <= r.limit) && (r.slack == 0 || r.ours.median() <= r.theirs.median()+r.slack)
}

func (r row) verdict() string {
	limit := fmt.Sprintf("%.2f", r.limit)
	switch {
	case r.slack != 0:
		limit = fmt.Sprintf("+%s ms", ms(r.slack))
	case r.limit == 0:
		return ""
	}
	if r.met() {
		return "<= " + limit
	}
	return "> " + limit + " MISSED"
}

// printTable shows the table and says whether all limits are met.
func printTable(w io.Writer, s settings, rows []row) (met bool) {
	fmt.Fprintf(w, "%s; medians of %d alternating runs in ms, with [minimum, 95th percentile]\n", machine(), s.runs)
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

// printJSON prints what the table has, in ms, and says whether all limits are met.
func printJSON(w io.Writer, s settings, rows []row) (met bool, err error) {
	describe := func(s samples) object {
		return object{"median": inMS(s.median()), "min": inMS(s.quantile(0)), "p95": inMS(s.quantile(0.95))}
	}
	met = true
	var figures []object
	for _, r := range rows {
		figure := object{"name": r.name, "ours": describe(r.ours), "theirs": describe(r.theirs), "ratio": r.ratio(), "met": r.met()}
		if r.limit != 0 {
			figure["limit"] = r.limit
		}
		if r.slack != 0 {
			figure["slack"] = inMS(r.slack)
		}
		figures = append(figures, figure)
		met = met && r.met()
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return met, encoder.Encode(object{"machine": machine(), "runs": s.runs, "ours": s.ours, "theirs": s.theirs, "figures": figures})
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (s samples) spread() string {
	return fmt.Sprintf("[%s, %s]", ms(s.quantile(0)), ms(s.quantile(0.95)))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", inMS(d)) }

// machine is what the figures depend on.
func machine() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		release = []byte("unknown")
	}
	return fmt.Sprintf("Linux %s, %d processors, %s", strings.TrimSpace(string(release)), runtime.NumCPU(), runtime.Version())
}
