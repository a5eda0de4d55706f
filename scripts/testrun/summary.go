// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// spec identifies an outcome across stages.
type spec struct{ pkg, name string }

// counts is a tally of outcomes.
type counts struct{ passed, failed, skipped int }

func count(outcomes []outcome) (c counts) {
	for _, o := range outcomes {
		switch o.state {
		case passed:
			c.passed++
		case failed:
			c.failed++
		case skipped:
			c.skipped++
		}
	}
	return c
}

// String is the form of the last line: "N passed, M failed", and ", K skipped" when there are any.
func (c counts) String() string {
	text := fmt.Sprintf("%d passed, %d failed", c.passed, c.failed)
	if c.skipped > 0 {
		text += fmt.Sprintf(", %d skipped", c.skipped)
	}
	return text
}

func tally(outcomes []outcome) string { return count(outcomes).String() }

// summary prints the tables and the last line, and says the exit status.
func (r *run) summary(w io.Writer) int {
	fmt.Fprint(w, "\n== summary ==\n")
	r.printStages(w)
	total := r.total()
	r.printSkips(w)
	printFailures(w, total)
	for _, s := range r.stages {
		if s.omitted != "" {
			fmt.Fprintf(w, "\nNOT RUN: %s: %s\n", s.name, s.omitted)
		}
	}
	final := count(total)
	fmt.Fprintf(w, "\n%s\n", final)
	if final.failed > 0 {
		return 1
	}
	return 0
}

func (r *run) printStages(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "stage\tpackages\tpassed\tfailed\tskipped\ttime\t")
	for _, s := range r.stages {
		c := count(s.outcomes)
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\t\n", s.name, s.packages, c.passed, c.failed, c.skipped, s.elapsed.Round(time.Second))
	}
	table.Flush()
}

// total is every outcome once: a spec skipped natively counts with what became of it in the VM.
func (r *run) total() []outcome {
	vm := r.vmOutcomes()
	var all []outcome
	for _, s := range r.stages {
		for _, o := range s.outcomes {
			if _, again := vm[spec{o.pkg, o.name}]; again && s.name == "unit" && o.state == skipped {
				continue
			}
			all = append(all, o)
		}
	}
	return all
}

func (r *run) vmOutcomes() map[spec]outcome {
	found := map[spec]outcome{}
	for _, o := range r.outcomes("vm") {
		found[spec{o.pkg, o.name}] = o
	}
	return found
}

// printSkips names every spec that was skipped natively, why, and whether it then ran in the VM.
func (r *run) printSkips(w io.Writer) {
	vm := r.vmOutcomes()
	lines := map[string][]string{}
	for _, s := range r.stages {
		for _, o := range s.outcomes {
			if o.state != skipped || o.inVM {
				continue
			}
			fate := "skipped"
			if again, ran := vm[spec{o.pkg, o.name}]; ran {
				fate = string(again.state) + " in the VM"
			}
			title := fmt.Sprintf("%s: %s", short(o.pkg), firstLine(o.detail))
			lines[title] = append(lines[title], fmt.Sprintf("    %s -> %s", o.name, fate))
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(w, "\nSkipped on this machine, and why:\n")
	}
	for _, title := range sortedKeys(lines) {
		fmt.Fprintf(w, "  %s\n%s\n", title, strings.Join(lines[title], "\n"))
	}
}

func printFailures(w io.Writer, total []outcome) {
	var names []string
	for _, o := range total {
		if o.state == failed {
			names = append(names, fmt.Sprintf("  %s %s", short(o.pkg), o.name))
		}
	}
	if len(names) > 0 {
		fmt.Fprintf(w, "\nFailed (details above):\n%s\n", strings.Join(names, "\n"))
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, cmp.Compare)
	return keys
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
