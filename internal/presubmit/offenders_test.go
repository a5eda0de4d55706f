// SPDX-License-Identifier: Apache-2.0

package presubmit

import (
	"fmt"
	"go/token"
	"strings"
	"testing"
)

// offender is source that breaks a rule, or, with no complaint, just does not.
type offender struct {
	rule      string
	path      string
	code      string // after the licence and the package clause
	complaint string // part of what the rule has to say; "" = nothing
}

// offenders has at least one for every rule: a check that cannot fail checks
// nothing.
func offenders() []offender {
	const bridge, link = "plugins/main/bridge/plugin/x.go", "pkg/link/x.go"
	ours := func(dir string) string { return fmt.Sprintf("import _ %q", module+"/"+dir) }
	return []offender{
		{"layers", link, ours("pkg/plugin"), "pkg/link imports pkg/plugin, which stands on a higher layer"},
		{"layers", link, ours("pkg/netlinksafe"), ""},
		{"layers", "pkg/ipam/x.go", ours("pkg/undo"), ""},
		{"layers", "pkg/plugin/x.go", ours("internal/netfilter"), "stands on a higher layer"},
		{"layers", "internal/netfilter/x.go", ours("plugins/main/bridge/plugin"), "stands on a higher layer"},
		{"layers", "pkg/pluginx/x.go", "", "has no layer"},
		{"islands", bridge, ours("plugins/ipam/host-local/plugin"), "plugins/main/bridge imports plugins/ipam/host-local"},
		{"islands", "plugins/main/bridge/main.go", ours("plugins/main/bridge/plugin"), ""},
		{"islands", "plugins/main/windows/win-bridge/x.go", ours("plugins/main/windows/win-overlay/plugin"), "imports"},
		{"test support", bridge, ours("pkg/testutils"), "imports"},
		{"test support", bridge, `import _ "github.com/onsi/gomega"`, "imports"},
		{"init", bridge, "func init() {}", "func init"},
		{"init", bridge, "type t struct{}; func (t) init() {}", ""},
		{"package state", bridge, `import "regexp"; var name = regexp.MustCompile("x")`, "is computed"},
		{"package state", bridge, `var _ = f()`, "is computed"},
		{"package state", bridge, `var count int`, "has no value yet"},
		{"package state", bridge, `var Table = []string{"a"}`, "can be changed by everybody"},
		{"package state", bridge, `var table = map[string]int{"a": 1}; func f() { table["b"] = 2 }`, "is changed in"},
		{"package state", bridge, `var table = [2]int{}; func f() *int { return &table[1] }`, "is changed in"},
		{"package state", bridge, `var table = map[string]int{"a": 1}; func f() { delete(table, "a") }`, "is changed in"},
		{"package state", bridge, `var table = []string{"a"}; func f() { table := 1; table++ }`, ""},
		{"package state", bridge, `var table = []struct{ f func() }{{func() { g() }}}`, ""},
		{"package state", bridge, `import "errors"; var ErrGone = errors.New("gone")`, ""},
		{"package state", bridge, `import "x/link"; var ErrLinkNotFound = link.ErrNotFound`, ""},
		{"package state", bridge, `var _ error = (*t)(nil)`, ""},
		{"package state", "pkg/utils/buildversion/x.go", `var BuildVersion = "version unknown"`, ""},
		{"package state", bridge, `import "` + module + `/pkg/plugin"; var Plugin = plugin.New(plugin.Definition[int]{})`, ""},
		{"exit", bridge, `import "os"; func f() { os.Exit(1) }`, "os.Exit"},
		{"exit", "pkg/plugin/x.go", `import "os"; func f() { os.Exit(1) }`, "os.Exit"},
		{"exit", "pkg/plugin/x.go", `import "os"; func Main() { os.Exit(1) }`, ""},
		{"exit", bridge, `import "log"; func f() { log.Fatalf("x") }`, "log.Fatalf"},
		{"exit", bridge, `import "flag"`, "imports flag"},
		{"sleep", bridge, `import "time"; func f() { time.Sleep(1) }`, "time.Sleep"},
		{"sleep", bridge, `import clock "time"; func f() { clock.Sleep(1) }`, "time.Sleep"},
		{"sleep", bridge, `import "time"; func f() { <-time.After(1) }`, "is a sleep"},
		{"sleep", bridge, `import "golang.org/x/sys/unix"; func f() { unix.Nanosleep(nil, nil) }`, "Nanosleep"},
		{"sleep", bridge, `import "time"; func f(c chan int) { select { case <-time.After(1): case <-c: } }`, ""},
		{"stdout", bridge, `import "fmt"; func f() { fmt.Println() }`, "fmt.Println"},
		{"stdout", bridge, `import "os"; var f = os.Stdout`, "os.Stdout"},
		{"stderr", bridge, `import ("fmt"; "os"); func f() { fmt.Fprintln(os.Stderr, "x") }`, "os.Stderr"},
		{"dumps", bridge, `import "github.com/vishvananda/netlink"; func f() { netlink.LinkList() }`, "use netlinksafe.LinkList"},
		{"dumps", bridge, `import "github.com/vishvananda/netlink"; func f() { netlink.NewHandle() }`, "netlink.NewHandle"},
		{"dumps", bridge, `import "golang.org/x/sys/unix"; const f = unix.NLM_F_DUMP`, "by hand"},
		{"dumps", bridge, `import "` + module + `/pkg/netlinksafe"; func f() { netlinksafe.LinkList() }`, ""},
		{"forks", bridge, `import "os/exec"`, "imports os/exec"},
		{"forks", "internal/startup/testdata/x/main.go", `import "os/exec"`, ""},
		{"forks", bridge, `import "syscall"; func f() { syscall.ForkExec("", nil, nil) }`, "syscall.ForkExec"},
		{"forks", bridge, `import "os"; func f() { os.StartProcess("", nil, nil) }`, "os.StartProcess"},
		{"errors.Is", bridge, `import "os"; func f(err error) bool { return os.IsNotExist(err) }`, "os.IsNotExist"},
		{"wrap", bridge, `import "fmt"; func f(err error) error { return fmt.Errorf("open: %v", err) }`, "without %w"},
		{"wrap", bridge, `import "fmt"; func f(err error) error { return fmt.Errorf("open: %w", err) }`, ""},
		{"error text", bridge, `import "fmt"; func f() { fmt.Errorf("failed to open %s", "x") }`, `begins with "failed to"`},
		{"error text", bridge, `import "errors"; func f() { errors.New("Cannot open" + " it") }`, "capital"},
		{"error text", bridge, `import "` + module + `/pkg/plugin"; func f() { plugin.Errorf(7, "x: is wrong.") }`, "full stop"},
		{"error text", bridge, `import "errors"; func f() { errors.New("IPv6 address without a prefix") }`, ""},
		{"error text", bridge, `import "errors"; func f() { errors.New("CNI_NETNS: open") }`, ""},
		{"licence", bridge, "\x00// no licence\npackage bridge\n", "licence line"},
		{"gofmt", bridge, "func  f( ) {}", "gofmt"},
		{"package comment", bridge, "", "has no comment"},
		{"package comment", bridge, "\x00// Package bridge is it.\npackage bridge\n", ""},
		{"package comment", bridge, "\x00// This is it.\npackage bridge\n", "has no comment"},
		{"documented", bridge, "func Open() {}", "Open has no comment"},
		{"documented", bridge, "// It opens.\nfunc Open() {}", "Open has no comment"},
		{"documented", bridge, "// Open opens.\nfunc Open() {}", ""},
		{"documented", bridge, "type T struct{}", "type T has no comment"},
		{"documented", bridge, "// A T is one.\ntype T struct{}; func (T) Close() {}", "Close has no comment"},
		{"documented", bridge, "type t struct{}; func (t) Close() {}", ""},
		{"documented", bridge, "const Max = 1", "const Max has no comment"},
		{"documented", bridge, "const Max = 1 // the most there can be", ""},
		{"unfinished", bridge, "// " + unfinished()[0] + ": later", unfinished()[0]},
		{"unfinished", bridge, "// mktemp name." + strings.Repeat("X", 6), ""},
	}
}

func TestRulesCanFail(t *testing.T) {
	tried := map[string]bool{}
	for _, o := range offenders() {
		t.Run(o.rule+"/"+o.code, func(t *testing.T) {
			got := strings.Join(complaints(t, o), "\n")
			if o.complaint == "" && got != "" || !strings.Contains(got, o.complaint) {
				t.Errorf("got %q, want %q", got, o.complaint)
			}
		})
		tried[o.rule] = tried[o.rule] || o.complaint != ""
	}
	for _, r := range rules() {
		if !tried[r.name] {
			t.Errorf("rule %q has no offender, so nobody knows whether it can fail", r.name)
		}
	}
}

// complaints returns what the offender's rule says about it.
func complaints(t *testing.T, o offender) (list []string) {
	code, whole := strings.CutPrefix(o.code, "\x00")
	if !whole {
		code = "// SPDX-License-Identifier: Apache-2.0\n\npackage bridge\n\n" + code + "\n"
	}
	s, err := parse(o.path, []byte(code))
	if err != nil {
		t.Fatal(err)
	}
	s.siblings = []*source{s}
	for _, r := range rules() {
		if r.name == o.rule && r.covers(s) {
			r.check(s, func(_ token.Pos, _, format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) })
		}
	}
	return list
}
