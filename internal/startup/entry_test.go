// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package startup

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/plugins/pkg/testutils"
)

// found is what testdata/entered says.
type found struct {
	Args, Env, Files, Limit []string
	Processors              int
}

// TestEntry starts a program with and without arguments, on this architecture and,
// emulated, on the other.
func TestEntry(t *testing.T) {
	for arch, emulator := range map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"} {
		t.Run(arch, func(t *testing.T) {
			program := []string{build(t, arch)}
			if arch != runtime.GOARCH {
				testutils.Need(t, emulator)
				program = []string{emulator, "-0", program[0], program[0]}
			}
			testEntry(t, program)
		})
	}
}

func testEntry(t *testing.T, program []string) {
	path := program[len(program)-1]
	for _, c := range []struct {
		name           string
		limits, closed string
		args, env      []string
		entered        bool
	}{
		{name: "called as a plugin", limits: "-Sn 77", env: []string{"CNI_COMMAND=ADD", "PATH=/bin"}, entered: true},
		{name: "without an environment", limits: "-Sn 77", entered: true},
		{name: "with all limits low", limits: "-n 20", env: []string{"A=1"}, entered: true},
		{name: "with the processors of others", limits: "-Sn 77", env: []string{"GOMAXPROCS=3", "A=1"}, entered: true},
		{name: "with standard input and error closed", limits: "-Sn 77", closed: "<&- 2>&-", env: []string{"A=1"}, entered: true},
		{name: "called as a daemon", limits: "-Sn 77", args: []string{"daemon", "-x"}, env: []string{"GOMAXPROCS=3", "A=1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := strings.Fields(limitsAfter(t, c.limits))
			got := start(t, append(program, c.args...), c.limits, c.closed, c.env)

			if want := append([]string{path}, c.args...); !slices.Equal(got.Args, want) {
				t.Errorf("the arguments are %q, expected %q", got.Args, want)
			}
			slices.Sort(got.Env) // an emulator turns it round
			if want := environment(c.env, c.entered); !slices.Equal(got.Env, want) {
				t.Errorf("the environment is %q, expected %q", got.Env, want)
			}
			if !slices.Equal(got.Limit, limit) {
				t.Errorf("a program that it starts has the limits %q, expected %q", got.Limit, limit)
			}
			if got.Processors != 1 {
				t.Errorf("it uses %d processors, expected 1", got.Processors)
			}
			inCgroup := func(file string) bool { return strings.Contains(file, "/cgroup") }
			if c.entered && slices.ContainsFunc(got.Files, inCgroup) {
				t.Errorf("it has looked at the cgroup: %q", got.Files)
			}
		})
	}
}

// environment is what a program has that was started with env.
func environment(env []string, entered bool) []string {
	want := []string{}
	if entered {
		want = append(want, "GOMAXPROCS=1")
	}
	for _, v := range env {
		if !entered || !strings.HasPrefix(v, "GOMAXPROCS=") {
			want = append(want, v)
		}
	}
	slices.Sort(want)
	return want
}

// limitsAfter is what the shell's ulimit leaves of the limits of descriptors.
func limitsAfter(t *testing.T, limits string) string {
	t.Helper()
	out, err := exec.Command("/bin/sh", "-c", "ulimit "+limits+"; ulimit -Sn; ulimit -Hn").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// start runs the program with these limits, some of the standard descriptors closed,
// and nothing but env in the environment.
func start(t *testing.T, program []string, limits, closed string, env []string) found {
	t.Helper()
	script := "ulimit " + limits + ` && exec env -i "$@" ` + closed
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, append(env, program...)...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got found
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// build builds testdata/entered with the entry, as build_linux.sh does.
func build(t *testing.T, arch string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "entered")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "-ldflags=-E=cni_plugins_entry", "./testdata/entered")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
