// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// vmSeconds is a guard against a hang: a quiet machine takes about ten minutes, a busy one twice as long.
const vmSeconds = "2400"

// kernelSkip recognises the reason testutils.Need gives when the kernel, not a tool, is what is missing.
const kernelSkip = `^needs "([^"]+)" \([^)]*kernel with`

// guestJob is one package whose skipped specs run in the VM.
type guestJob struct {
	Package string
	Dir     string
	Binary  string
	Args    []string
}

// vm runs the specs that this kernel could not run on a full kernel. Only those: emulated, everything is slow.
func (r *run) vm(ctx context.Context) func(*stage) error {
	return func(s *stage) error {
		lacking, byPackage := r.kernelSkips()
		switch {
		case len(lacking) == 0:
			s.omitted = "this kernel has everything the tests asked for"
			return nil
		case os.Getenv("SKIP_VM") != "":
			s.omitted = "SKIP_VM is set"
			return nil
		}
		fmt.Printf("this kernel lacks %s\n", strings.Join(lacking, ", "))
		shared := filepath.Join(r.dir, "vm")
		jobs, err := buildJobs(ctx, shared, byPackage)
		if err != nil {
			return err
		}
		if err := bootWith(ctx, shared, r.self, lacking, jobs); err != nil {
			s.fail("(machine)", err.Error())
		}
		return r.collectGuest(ctx, s, shared, jobs)
	}
}

// kernelSkips returns the features this kernel lacks and the specs that asked for them.
func (r *run) kernelSkips() (lacking []string, byPackage map[string][]outcome) {
	pattern := regexp.MustCompile(kernelSkip)
	byPackage = map[string][]outcome{}
	for _, o := range r.outcomes("unit") {
		match := pattern.FindStringSubmatch(o.detail)
		if o.state != skipped || match == nil {
			continue
		}
		lacking = append(lacking, match[1])
		byPackage[o.pkg] = append(byPackage[o.pkg], o)
	}
	slices.Sort(lacking)
	return slices.Compact(lacking), byPackage
}

func (r *run) outcomes(name string) []outcome {
	for _, s := range r.stages {
		if s.name == name {
			return s.outcomes
		}
	}
	return nil
}

// buildJobs compiles the test binaries here, where it is fast.
func buildJobs(ctx context.Context, dir string, byPackage map[string][]outcome) ([]guestJob, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var jobs []guestJob
	for pkg, specs := range byPackage {
		binary := reportFile(dir, pkg) + ".test"
		if out, err := output(ctx, ".", "go", "test", "-c", "-o", binary, pkg); err != nil {
			return nil, fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, out)
		}
		source, err := answer(ctx, "go", "list", "-f", "{{.Dir}}", pkg)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", pkg, err)
		}
		jobs = append(jobs, guestJob{Package: pkg, Dir: strings.TrimSpace(source), Binary: binary, Args: guestArgs(specs)})
	}
	slices.SortFunc(jobs, func(a, b guestJob) int { return strings.Compare(a.Package, b.Package) })
	return jobs, nil
}

// guestArgs choose exactly the given specs. Suites match the focus against "suite texts leaf".
func guestArgs(specs []outcome) []string {
	var names []string
	for _, spec := range specs {
		names = append(names, regexp.QuoteMeta(spec.name)+"$")
	}
	return []string{"-test.v=test2json", "-test.timeout=" + vmSeconds + "s", "-ginkgo.focus=" + strings.Join(names, "|")}
}

// bootWith runs the jobs in the VM. All of it is on the root file system, which the guest sees; what it writes comes
// back through VM_OUT.
func bootWith(ctx context.Context, dir, self string, lacking []string, jobs []guestJob) error {
	list, err := json.Marshal(jobs)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "jobs.json"), list, 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "scripts/vm.sh", self, "guest", "/vm-out")
	cmd.Env = append(os.Environ(), "VM_OUT="+dir, "VM_TIMEOUT="+vmSeconds, "CNI_TEST_NO_SKIP="+strings.Join(lacking, ","))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("scripts/vm.sh: %w", err)
	}
	return nil
}

// runGuest runs inside the VM: all jobs, as many at once as there are processors. A failing test is no error here;
// the host reads it in the output.
func runGuest(ctx context.Context, dir string) (int, error) {
	list, err := os.ReadFile(filepath.Join(dir, "jobs.json"))
	if err != nil {
		return 1, err
	}
	var jobs []guestJob
	if err := json.Unmarshal(list, &jobs); err != nil {
		return 1, err
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	slots := make(chan struct{}, runtime.NumCPU())
	errs := make([]error, len(jobs))
	var wait sync.WaitGroup
	for i, job := range jobs {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			errs[i] = job.run(ctx, self, dir)
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return 1, err
	}
	return 0, nil
}

func (j guestJob) run(ctx context.Context, self, dir string) error {
	start := time.Now()
	cmd := exec.CommandContext(ctx, self, append([]string{"exec", dir, j.Binary}, j.Args...)...)
	cmd.Dir = j.Dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("%s: %w", j.Package, err)
	}
	fmt.Printf("ran  %-45s %6.1fs\n", short(j.Package), time.Since(start).Seconds())
	if err != nil {
		out = append(out, "\nFAIL\n"...)
	}
	return os.WriteFile(outputFile(dir, j.Package), out, 0o644)
}

func outputFile(dir, pkg string) string { return reportFile(dir, pkg) + ".out" }

// collectGuest turns what the guest wrote into outcomes, as if go test had run there.
func (r *run) collectGuest(ctx context.Context, s *stage, dir string, jobs []guestJob) error {
	sub := *r
	sub.dir = dir
	for _, job := range jobs {
		raw, err := os.Open(outputFile(dir, job.Package))
		if errors.Is(err, fs.ErrNotExist) {
			s.add(outcome{pkg: job.Package, name: "(package)", state: failed, detail: "did not finish in the virtual machine"})
			continue
		}
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "go", "tool", "test2json", "-p", job.Package)
		cmd.Stdin = raw
		events, err := cmd.Output()
		raw.Close()
		if err != nil {
			return fmt.Errorf("go tool test2json: %w", err)
		}
		if _, err := readEvents(bytes.NewReader(events), func(p *packageRun) { sub.finished(s, p) }); err != nil {
			return err
		}
	}
	for i := range s.outcomes {
		s.outcomes[i].inVM = true
	}
	return nil
}
