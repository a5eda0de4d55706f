// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// state is what became of one spec, test or check.
type state string

const (
	passed  state = "passed"
	failed  state = "failed"
	skipped state = "skipped"
)

// outcome is one counted line: a Ginkgo spec, a plain Go test, or a check such as gofmt.
type outcome struct {
	pkg, name string
	state     state
	detail    string // reason of a skip, output of a failure
	inVM      bool   // the full kernel decided
}

// event is one line of "go test -json".
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// packageRun gathers the events of one package.
type packageRun struct {
	path    string
	state   state
	ran     bool
	elapsed time.Duration
	output  strings.Builder // what belongs to no test, or to a failing build
	tests   map[string]*testRun
}

// testRun gathers the events of one Go test.
type testRun struct {
	name   string
	state  state
	output strings.Builder
}

// readEvents reads a stream of go test events until its end and tells each package when it is done. Lines that are
// no events (a broken toolchain's complaints) are kept as output of the package "go test".
func readEvents(stream io.Reader, done func(*packageRun)) (map[string]*packageRun, error) {
	packages := map[string]*packageRun{}
	decoder := json.NewDecoder(stream)
	for {
		var e event
		err := decoder.Decode(&e)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return packages, fmt.Errorf("read go test events: %w", err)
		}
		// Output of a build names the package as "path" or "path [path.test]".
		path, _, _ := strings.Cut(e.Package+e.ImportPath, " ")
		run := packages[path]
		if run == nil {
			run = &packageRun{path: path, tests: map[string]*testRun{}}
			packages[path] = run
		}
		if run.add(e) {
			done(run)
		}
	}
}

// add takes one event; true means the package has finished.
func (p *packageRun) add(e event) bool {
	if e.Test == "" {
		p.output.WriteString(e.Output)
		if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
			p.state, p.ran = stateOf(e.Action), e.Action != "skip"
			p.elapsed = time.Duration(e.Elapsed * float64(time.Second))
			return true
		}
		return false
	}
	test := p.tests[e.Test]
	if test == nil {
		test = &testRun{name: e.Test, state: failed} // unless it lives to say otherwise
		p.tests[e.Test] = test
	}
	test.output.WriteString(e.Output)
	if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
		test.state = stateOf(e.Action)
	}
	return false
}

func stateOf(action string) state {
	return map[string]state{"pass": passed, "fail": failed, "skip": skipped}[action]
}

// outcomes counts a package: its plain tests one by one, and in place of the test that runs a Ginkgo suite the specs
// of the report.
func (p *packageRun) outcomes(reports string) []outcome {
	if !p.ran {
		return nil
	}
	var all []outcome
	for _, test := range p.tests {
		switch {
		case test.runsSuite():
			all = append(all, p.suite(test, reports)...)
		case p.counts(test):
			all = append(all, outcome{pkg: p.path, name: test.name, state: test.state, detail: test.detail()})
		}
	}
	anyFailed := slices.ContainsFunc(all, func(o outcome) bool { return o.state == failed })
	if p.state == failed && !anyFailed {
		// It did not build, left something behind, or died outside of a test.
		all = append(all, outcome{pkg: p.path, name: "(package)", state: failed, detail: p.output.String()})
	}
	return all
}

// counts is true for the tests without subtests; the seeds of a fuzz target count as one.
func (p *packageRun) counts(test *testRun) bool {
	if strings.HasPrefix(test.name, "Fuzz") {
		return !strings.Contains(test.name, "/")
	}
	for name := range p.tests {
		if strings.HasPrefix(name, test.name+"/") {
			return false
		}
	}
	return true
}

func (t *testRun) runsSuite() bool {
	return strings.Contains(t.output.String(), "Running Suite: ")
}

// detail is the test's output without the testing package's own lines.
func (t *testRun) detail() string {
	if t.state == passed {
		return ""
	}
	var lines []string
	for line := range strings.Lines(t.output.String()) {
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(strings.TrimSpace(line), "--- ") {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// suite reads the Ginkgo report of the package.
func (p *packageRun) suite(test *testRun, reports string) []outcome {
	specs, err := readReport(reportFile(reports, p.path))
	if err != nil {
		detail := test.detail()
		if !errors.Is(err, fs.ErrNotExist) {
			detail = err.Error() + "\n" + detail
		}
		return []outcome{{pkg: p.path, name: test.name, state: failed, detail: detail}}
	}
	var all []outcome
	for _, spec := range specs {
		all = append(all, outcome{pkg: p.path, name: spec.name(), state: spec.state(), detail: spec.message()})
	}
	anyFailed := slices.ContainsFunc(all, func(o outcome) bool { return o.state == failed })
	if test.state == failed && !anyFailed {
		all = append(all, outcome{pkg: p.path, name: test.name, state: failed, detail: test.detail()})
	}
	return all
}

// specReport is the part of Ginkgo's JSON report that is read here.
type specReport struct {
	ContainerHierarchyTexts []string
	LeafNodeType            string
	LeafNodeText            string
	State                   string
	Failure                 struct {
		Message        string
		ForwardedPanic string
		Location       struct {
			FileName   string
			LineNumber int
		}
	}
	CapturedGinkgoWriterOutput string
}

func (s specReport) name() string {
	texts := append(slices.Clone(s.ContainerHierarchyTexts), s.LeafNodeText)
	name := strings.TrimSpace(strings.Join(texts, " "))
	if s.LeafNodeType != "It" {
		name = strings.TrimSpace("[" + s.LeafNodeType + "] " + name)
	}
	return name
}

func (s specReport) state() state {
	switch s.State {
	case "passed":
		return passed
	case "skipped", "pending":
		return skipped
	}
	return failed
}

func (s specReport) message() string {
	switch s.state() {
	case passed:
		return ""
	case skipped:
		if s.State == "pending" {
			return "pending"
		}
		return s.Failure.Message
	}
	at := s.Failure.Location
	return strings.TrimSpace(fmt.Sprintf("%s at %s:%d\n%s\n%s\n%s",
		s.State, at.FileName, at.LineNumber, s.Failure.Message, s.Failure.ForwardedPanic, s.CapturedGinkgoWriterOutput))
}

// readReport returns the specs that count: all that ran or were skipped with a reason, and set-up nodes that failed.
func readReport(file string) ([]specReport, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var suites []struct{ SpecReports []specReport }
	if err := json.Unmarshal(content, &suites); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var counted []specReport
	for _, suite := range suites {
		suiteSkip := ""
		for _, spec := range suite.SpecReports {
			if spec.LeafNodeType == "BeforeSuite" && spec.state() == skipped {
				suiteSkip = spec.Failure.Message
			}
		}
		for _, spec := range suite.SpecReports {
			if spec.state() == skipped && spec.Failure.Message == "" {
				spec.Failure.Message = suiteSkip
			}
			// No reason: a focus left it out.
			filtered := spec.State == "skipped" && spec.Failure.Message == ""
			setup := spec.LeafNodeType != "It"
			if filtered || setup && spec.state() != failed {
				continue
			}
			counted = append(counted, spec)
		}
	}
	return counted, nil
}
