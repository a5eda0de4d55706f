// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	modulePath   = "github.com/containernetworking/plugins"
	nsPackage    = modulePath + "/pkg/ns"
	testLimit    = "60m" // of one package: against a hang, not against a busy machine
	e2eDirectory = "scripts/e2e"
)

// racePackages are where goroutines and threads meet. The rest runs without the race detector, which costs minutes and
// sees nothing of what happens between processes.
const racePackages = `^` + modulePath + `/(pkg/(ns|plugin|link|netlinksafe|undo|testutils)|plugins/ipam/dhcp)(/|$)`

// run is one run of everything.
type run struct {
	dir      string // for reports and binaries
	self     string // this program, to be called by go test
	packages []string
	stages   []*stage
}

// stage is a part of the run with a line of its own in the summary.
type stage struct {
	name     string
	packages int
	elapsed  time.Duration
	omitted  string // why it did not run at all

	mu       sync.Mutex // packages may end at the same time
	outcomes []outcome
}

// runAll runs all stages, prints the summary and says the exit status.
func runAll(ctx context.Context, patterns []string) (int, error) {
	r, err := newRun(ctx, patterns)
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(r.dir)

	r.step("checks", r.checks(ctx))
	r.step("unit", r.native(ctx))
	if slices.Contains(r.packages, nsPackage) {
		r.step("rootless", r.rootless(ctx))
	}
	r.step("vm", r.vm(ctx))
	r.step("e2e", r.e2e(ctx))
	if err := ctx.Err(); err != nil {
		return 130, fmt.Errorf("interrupted: %w", err)
	}
	return r.summary(os.Stdout), nil
}

func newRun(ctx context.Context, patterns []string) (*run, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	packages, err := listPackages(ctx, patterns)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "cni-testrun")
	if err != nil {
		return nil, err
	}
	// Tests that drop their privileges must still be able to look inside.
	return &run{dir: dir, self: self, packages: packages}, os.Chmod(dir, 0o755)
}

func listPackages(ctx context.Context, patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	out, err := answer(ctx, "go", append([]string{"list"}, patterns...)...)
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	return strings.Fields(out), nil
}

// step runs one stage and keeps what it found.
func (r *run) step(name string, work func(*stage) error) {
	fmt.Printf("\n== %s ==\n", name)
	s := &stage{name: name}
	start := time.Now()
	if err := work(s); err != nil {
		s.fail("("+name+")", err.Error())
	}
	s.elapsed = time.Since(start)
	r.stages = append(r.stages, s)
}

func (s *stage) fail(name, detail string) {
	s.add(outcome{name: name, state: failed, detail: detail})
}

// add keeps an outcome and shows a failure at once.
func (s *stage) add(o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes = append(s.outcomes, o)
	if o.state == failed {
		fmt.Printf("FAIL %s %s\n%s\n", short(o.pkg), o.name, indent(o.detail))
	}
}

func (s *stage) failures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return count(s.outcomes).failed
}

// checks are the cheap ones: formatting, vet, other platforms, and shell scripts.
func (r *run) checks(ctx context.Context) func(*stage) error {
	return func(s *stage) error {
		s.check(ctx, "gofmt", "the files above are not formatted", "sh", "-c", `files=$(find . -name '*.go' -not -path './.git/*' -print0 | xargs -0 gofmt -l); echo "$files"; [ -z "$files" ]`)
		s.check(ctx, "go vet", "", "go", append([]string{"vet"}, r.packages...)...)
		// One of 32 bits, one of the other byte order, one whose system calls have other types, and another system; the
		// releases have more.
		for _, arch := range []string{"386", "s390x", "mips64le"} {
			s.check(ctx, "build for linux/"+arch, "", "env", "GOARCH="+arch, "CGO_ENABLED=0", "go", "build", "./plugins/...")
		}
		for _, arch := range []string{"amd64", "arm64"} {
			s.check(ctx, "go vet for windows/"+arch, "", "env", "GOOS=windows", "GOARCH="+arch, "CGO_ENABLED=0", "go", "vet", "./...")
		}
		s.check(ctx, "shellcheck", "", "sh", "-c", `git ls-files '*.sh' .ci/run 2>/dev/null | xargs -r shellcheck -x || [ ! -e .git ]`)
		return nil
	}
}

// check counts a command's success.
func (s *stage) check(ctx context.Context, name, hint, command string, args ...string) {
	out, err := output(ctx, ".", command, args...)
	o := outcome{name: name, state: passed}
	if err != nil {
		o.state, o.detail = failed, strings.TrimSpace(out+"\n"+hint)
	} else {
		fmt.Println("ok  ", name)
	}
	s.add(o)
}

// native runs every package as root, the concurrent ones with the race detector. Tests wait for the kernel and for one
// another's processes more than they compute: a few more run at once than there are processors.
func (r *run) native(ctx context.Context) func(*stage) error {
	return func(s *stage) error {
		race := regexp.MustCompile(racePackages)
		var racy, plain []string
		for _, path := range r.packages {
			if race.MatchString(path) {
				racy = append(racy, path)
			} else {
				plain = append(plain, path)
			}
		}
		wrapper := r.self + " exec " + r.dir
		var plainErr, racyErr error
		var both sync.WaitGroup
		both.Go(func() {
			plainErr = r.goTest(ctx, s, ".", plain, fmt.Sprintf("-p=%d", runtime.NumCPU()+1), "-exec", wrapper)
		})
		both.Go(func() { racyErr = r.goTest(ctx, s, ".", racy, "-p=1", "-race", "-exec", wrapper) })
		both.Wait()
		return errors.Join(plainErr, racyErr)
	}
}

// rootless runs pkg/ns as a user with namespaces but without root's power over the machine.
func (r *run) rootless(ctx context.Context) func(*stage) error {
	return func(s *stage) error {
		if out, err := output(ctx, ".", "unshare", "-rmn", "true"); err != nil {
			s.add(outcome{pkg: nsPackage, name: "(all, rootless)", state: skipped, detail: "no user namespaces here: " + out})
			return nil
		}
		reports := filepath.Join(r.dir, "rootless")
		if err := os.MkdirAll(reports, 0o777); err != nil {
			return err
		}
		wrapper := fmt.Sprintf("env XDG_RUNTIME_DIR=%s unshare -rmn %s exec -shared %s", reports, r.self, reports)
		sub := *r
		sub.dir = reports
		return sub.goTest(ctx, s, ".", []string{nsPackage}, "-exec", wrapper)
	}
}

// e2e lets real runtimes drive the binaries in bin/; it is a module of its own.
func (r *run) e2e(ctx context.Context) func(*stage) error {
	return func(s *stage) error {
		if os.Getenv("SKIP_E2E") != "" {
			s.omitted = "SKIP_E2E is set"
			return nil
		}
		if len(patternsFromEnvironment()) > 0 {
			s.omitted = "PKG limits the packages"
			return nil
		}
		if out, err := output(ctx, e2eDirectory, "go", "vet", "./..."); err != nil {
			s.fail("go vet in "+e2eDirectory, out)
		}
		return r.goTest(ctx, s, e2eDirectory, []string{"./..."})
	}
}

func patternsFromEnvironment() []string { return strings.Fields(os.Getenv("PKG")) }

// goTest runs go test on the packages and counts what it reports.
func (r *run) goTest(ctx context.Context, s *stage, dir string, packages []string, flags ...string) error {
	if len(packages) == 0 {
		return nil
	}
	args := append([]string{"test", "-json", "-count=1", "-timeout=" + testLimit}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Dir = dir
	// A terminal's Ctrl-C reaches go test by itself; otherwise ask, so that it stops its tests.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stream, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	before := s.failures()
	runs, readErr := readEvents(stream, func(p *packageRun) { r.finished(s, p) })
	err = cmd.Wait()
	for _, p := range runs {
		if p.state == "" && strings.TrimSpace(p.output.String()) != "" {
			s.fail(p.path, p.output.String()) // did not even get to a result
		}
	}
	if counted := s.failures() > before; readErr == nil && (err == nil || counted) {
		return nil
	}
	return fmt.Errorf("go test: %w\n%s", errors.Join(err, readErr), complaints.String())
}

// finished counts one package and prints its line.
func (r *run) finished(s *stage, p *packageRun) {
	outcomes := p.outcomes(r.dir)
	for _, o := range outcomes {
		s.add(o)
	}
	if !p.ran {
		return
	}
	s.mu.Lock()
	s.packages++
	s.mu.Unlock()
	verdict := "ok  "
	if p.state == failed {
		verdict = "FAIL"
	}
	fmt.Printf("%s %-45s %6.1fs  %s\n", verdict, short(p.path), p.elapsed.Seconds(), tally(outcomes))
}

// output runs a command and returns all it printed.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// answer runs a command and returns what it printed as its result. What it says
// beside that, as go does while it downloads modules, is not part of it.
func answer(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return string(out), err
}

// short drops the module from an import path.
func short(pkg string) string {
	return strings.TrimPrefix(pkg, modulePath+"/")
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}
