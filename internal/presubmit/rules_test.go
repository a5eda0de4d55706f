// SPDX-License-Identifier: Apache-2.0

package presubmit

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/token"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// rule is one thing that every Go file it covers has to observe.
type rule struct {
	name   string
	why    string // what is asked, and the reason
	covers func(*source) bool
	check  func(*source, reporter)
}

// reporter takes an offence: where it is, the name it is about (for exempt),
// and what it is.
type reporter func(pos token.Pos, subject, format string, args ...any)

// rules returns the house rules that look at one Go file at a time.
func rules() []rule {
	return []rule{
		{"layers", "plugins -> internal -> pkg/plugin -> {conf, ipam, check, undo} -> {link, ip, ns} -> {netlinksafe, utils}: " +
			"a package imports its own layer or lower ones, so that each can be used, read and tested without what stands on it",
			product, checkLayers},
		{"islands", "no plugin imports another one (main.go may, through internal/linked): what two need moves to a package of internal or pkg, " +
			"and any plugin can be left out of a build",
			product, checkIslands},
		{"test support", "ginkgo, gomega and our own test helpers are for tests: they would slow down every start of a plugin",
			product, checkTestSupport},
		{"init", "no func init: importing a plugin must not change the importing program, and start-up time counts in every call",
			product, checkInit},
		{"package state", "no mutable package variables and none that has to be computed: a plugin may run twice in one process, " +
			"and every call pays for the start; allowed are error sentinels, plugin.New, BuildVersion and tables nobody writes to",
			product, checkPackageState},
		{"exit", "os.Exit, log.Fatal and flag only in package main and plugin.Main: a plugin may be one of many things a process does",
			product, checkExit},
		{"sleep", "no sleeps outside tests: subscribe to the event and wait with a deadline from the context",
			func(s *source) bool { return !s.isTest() }, checkSleep},
		{"stdout", "only the chassis prints to standard output: anything else there spoils the answer the runtime parses",
			func(s *source) bool { return product(s) && !s.in("pkg/plugin") && !s.in("cmd") }, checkStdout},
		{"stderr", "what the node's administrator should know goes through plugin.Logf, in the name of the plugin; pkg/ipam stands below it, " +
			"and passes on what a delegate says",
			func(s *source) bool { return product(s) && !within(s.path, "pkg/plugin", "pkg/ipam", "cmd") }, checkStderr},
		{"dumps", "netlink dumps through pkg/netlinksafe only: the kernel interrupts a dump when something changes meanwhile, " +
			"and a caller that does not retry works on half a list",
			func(s *source) bool { return product(s) && !s.in("pkg/netlinksafe") }, checkDumps},
		{"forks", "no os/exec where netlink or a file can do it: a fork costs more than the rest of a command",
			product, checkForks},
		{"errors.Is", "os.IsNotExist and its like do not look inside wrapped errors: use errors.Is(err, fs.ErrNotExist)",
			product, checkOSIs},
		{"wrap", "an error inside another one is wrapped with %w: callers ask with errors.Is, and the CNI code travels with it",
			product, checkWrap},
		{"error text", "error texts are lower case, have no full stop and do not begin with \"failed to\" and the like: " +
			"they are read as one sentence from the outside in, and say what is wrong and what would be right",
			product, checkErrorText},
		{"licence", "every Go file begins with the line \"// SPDX-License-Identifier: Apache-2.0\" and an empty one",
			everyFile, checkLicence},
		{"gofmt", "every Go file is as gofmt leaves it",
			everyFile, checkFormat},
		{"package comment", "every package says in its comment what it does and what it owns",
			func(s *source) bool { return !s.isTest() }, checkPackageComment},
		{"documented", "every exported name has a sentence that begins with the name, so that go doc reads as prose",
			func(s *source) bool { return !s.isTest() && !s.isCommand() }, checkDocumented},
		{"unfinished", "no " + strings.Join(unfinished(), ", ") + ": finish it, or open an issue",
			everyFile, checkUnfinished},
	}
}

func everyFile(*source) bool { return true }

// product tells whether the file is part of what we deliver, rather than of
// tests or of scripts.
func product(s *source) bool {
	return !s.isTest() && !strings.Contains(s.path, "/testdata/") && within(s.path, "plugins", "internal", "pkg", "cmd") && !within(s.path, testSupport()...)
}

// testSupport are the directories of packages that only tests import.
func testSupport() []string {
	return []string{"pkg/testutils", "internal/testrig", "internal/hnstest", "internal/presubmit"}
}

// within tells whether a path is one of dirs or below it.
func within(name string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") })
}

func TestRules(t *testing.T) {
	all, ran := sources(t), 0
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			ran++
			for _, s := range all {
				if r.covers(s) {
					r.check(s, failing(t, r, s))
				}
			}
		})
	}
	t.Run("exemptions are needed", func(t *testing.T) {
		if ran < len(rules()) {
			t.Skip("only some of the rules were asked for")
		}
		expectExemptionsUsed(t)
	})
}

// failing fails the test for every offence that is not exempt.
func failing(t *testing.T, r rule, s *source) reporter {
	return func(pos token.Pos, subject, format string, args ...any) {
		if isExempt(r.name, s, subject) {
			return
		}
		t.Errorf("%s:%d: %s\n\trule %q: %s", s.path, s.line(pos), fmt.Sprintf(format, args...), r.name, r.why)
	}
}

func checkLayers(s *source, report reporter) {
	own := layerOf(s.dir())
	if own == noLayer {
		report(s.file.Package, s.dir(), "package %s has no layer; give it one in layerOf", s.dir())
		return
	}
	for spec, imported := range s.imports() {
		dir, ours := strings.CutPrefix(imported, module+"/")
		if ours && layerOf(dir) > own {
			report(spec.Pos(), dir, "%s imports %s, which stands on a higher layer", s.dir(), dir)
		}
	}
}

const noLayer = -1

// layerOf returns the layer of a package of the module; the lowest is 0.
func layerOf(dir string) int {
	layers := []struct {
		level int
		dirs  []string
	}{
		{6, []string{"cmd"}},
		{5, []string{"plugins", "internal/linked"}},
		{4, []string{"internal"}},
		{3, []string{"pkg/plugin"}},
		{2, []string{"pkg/conf", "pkg/ipam", "pkg/check", "pkg/undo", "pkg/hns"}},
		{1, []string{"pkg/link", "pkg/ip", "pkg/ns"}},
		{0, []string{"pkg/netlinksafe", "pkg/utils", "pkg/errors"}},
	}
	for _, layer := range layers {
		if within(dir, layer.dirs...) {
			return layer.level
		}
	}
	return noLayer
}

func checkIslands(s *source, report reporter) {
	own := pluginOf(s.dir())
	for spec, imported := range s.imports() {
		dir, ours := strings.CutPrefix(imported, module+"/")
		if other := pluginOf(dir); ours && own != "" && other != "" && other != own {
			report(spec.Pos(), other, "%s imports %s", own, dir)
		}
		if dir == "internal/linked" && !s.isCommand() {
			report(spec.Pos(), dir, "%s imports %s: main.go decides what an executable consists of", s.dir(), dir)
		}
	}
}

// pluginOf returns the directory of the plugin that a package belongs to, or "".
func pluginOf(dir string) string {
	parts := strings.Split(dir, "/")
	depth := 3 // plugins/main/bridge
	if len(parts) > 2 && parts[2] == "windows" {
		depth = 4
	}
	if parts[0] != "plugins" || len(parts) < depth {
		return ""
	}
	return path.Join(parts[:depth]...)
}

func checkTestSupport(s *source, report reporter) {
	for spec, imported := range s.imports() {
		if within(imported, "github.com/onsi", "testing") || within(strings.TrimPrefix(imported, module+"/"), testSupport()...) {
			report(spec.Pos(), imported, "imports %s", imported)
		}
	}
}

func checkInit(s *source, report reporter) {
	for _, decl := range s.file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			report(f.Pos(), "init", "func init")
		}
	}
}

func checkExit(s *source, report reporter) {
	if s.isCommand() {
		return
	}
	for use, name := range s.uses("os") {
		if name == "Exit" && !s.inChassisMain(use) {
			report(use.Pos(), "os.Exit", "os.Exit")
		}
	}
	for call, name := range s.calls("log") {
		if strings.HasPrefix(name, "Fatal") {
			report(call.Pos(), "log.Fatal", "log.%s", name)
		}
	}
	for spec, imported := range s.imports() {
		if imported == "flag" {
			report(spec.Pos(), "flag", "imports flag")
		}
	}
}

// inChassisMain tells whether node stands in the function Main of pkg/plugin.
func (s *source) inChassisMain(node ast.Node) bool {
	if s.dir() != "pkg/plugin" {
		return false
	}
	for _, decl := range s.file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Name.Name == "Main" && f.Pos() <= node.Pos() && node.End() <= f.End() {
			return true
		}
	}
	return false
}

func checkSleep(s *source, report reporter) {
	for use, name := range s.uses("time") {
		if name == "Sleep" || name == "Tick" {
			report(use.Pos(), name, "time.%s", name)
		}
	}
	for _, importPath := range []string{"golang.org/x/sys/unix", "syscall"} {
		for use, name := range s.uses(importPath) {
			if strings.HasSuffix(name, "Nanosleep") {
				report(use.Pos(), name, "%s", name)
			}
		}
	}
	cases := map[ast.Stmt]bool{} // a case of a select is one event among others
	for node := range ast.Preorder(s.file) {
		switch n := node.(type) {
		case *ast.CommClause:
			cases[n.Comm] = true
		case *ast.ExprStmt:
			if !cases[n] && s.waitsForTimer(n.X) {
				report(n.Pos(), "time.After", "<-time.After as a statement is a sleep")
			}
		}
	}
}

func (s *source) waitsForTimer(expr ast.Expr) bool {
	receive, ok := expr.(*ast.UnaryExpr)
	if !ok || receive.Op != token.ARROW {
		return false
	}
	for call, name := range s.calls("time") {
		if ast.Expr(call) == receive.X && name == "After" {
			return true
		}
	}
	return false
}

func checkStdout(s *source, report reporter) {
	for call, name := range s.calls("fmt") {
		if strings.HasPrefix(name, "Print") {
			report(call.Pos(), "fmt."+name, "fmt.%s", name)
		}
	}
	for use, name := range s.uses("os") {
		if name == "Stdout" {
			report(use.Pos(), "os.Stdout", "os.Stdout")
		}
	}
}

func checkStderr(s *source, report reporter) {
	for use, name := range s.uses("os") {
		if name == "Stderr" {
			report(use.Pos(), "os.Stderr", "os.Stderr")
		}
	}
}

func checkDumps(s *source, report reporter) {
	const library = "github.com/vishvananda/netlink"
	dumps := netlinkDumps()
	for use, name := range s.uses(library) {
		switch {
		case slices.Contains(dumps, name):
			report(use.Pos(), name, "netlink.%s; use netlinksafe.%s", name, name)
		case strings.HasPrefix(name, "NewHandle"):
			report(use.Pos(), name, "netlink.%s; a handle of netlinksafe dumps safely", name)
		}
	}
	for _, importPath := range []string{"golang.org/x/sys/unix", "syscall"} {
		for use, name := range s.uses(importPath) {
			if name == "NLM_F_DUMP" {
				report(use.Pos(), name, "a dump made by hand")
			}
		}
	}
}

func checkForks(s *source, report reporter) {
	for spec, imported := range s.imports() {
		if imported == "os/exec" {
			report(spec.Pos(), s.dir(), "imports os/exec")
		}
	}
	for use, name := range s.uses("syscall") {
		if name == "ForkExec" || name == "StartProcess" {
			report(use.Pos(), s.dir(), "syscall.%s", name)
		}
	}
	for use, name := range s.uses("os") {
		if name == "StartProcess" {
			report(use.Pos(), s.dir(), "os.%s", name)
		}
	}
}

func checkOSIs(s *source, report reporter) {
	for call, name := range s.calls("os") {
		if slices.Contains([]string{"IsNotExist", "IsExist", "IsPermission", "IsTimeout"}, name) {
			report(call.Pos(), "os."+name, "os.%s", name)
		}
	}
}

func checkWrap(s *source, report reporter) {
	for call, text := range s.errorTexts() {
		if strings.Contains(text, "%w") {
			continue
		}
		for _, arg := range call.Args {
			if name, ok := arg.(*ast.Ident); ok && (name.Name == "err" || strings.HasSuffix(name.Name, "Err")) {
				report(call.Pos(), name.Name, "%q formats %s without %%w", text, name.Name)
			}
		}
	}
}

func checkErrorText(s *source, report reporter) {
	for call, text := range s.errorTexts() {
		if complaint := badErrorText(text); complaint != "" {
			report(call.Pos(), text, "%q %s", text, complaint)
		}
	}
}

// errorTexts yields the calls that make an error of a text, with the text.
func (s *source) errorTexts() iter.Seq2[*ast.CallExpr, string] {
	return func(yield func(*ast.CallExpr, string) bool) {
		for _, maker := range []struct {
			importPath, name string
			position         int // of the text among the arguments
		}{
			{"errors", "New", 0},
			{"fmt", "Errorf", 0},
			{module + "/pkg/plugin", "Errorf", 1},
			{"github.com/containernetworking/cni/pkg/types", "NewError", 1},
		} {
			for call, name := range s.calls(maker.importPath) {
				if name != maker.name || len(call.Args) <= maker.position {
					continue
				}
				if text, ok := literal(call.Args[maker.position]); ok && !yield(call, text) {
					return
				}
			}
		}
	}
}

// literal returns the text of a string literal, or of the literals that a sum
// consists of.
func literal(expr ast.Expr) (string, bool) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, leftOK := literal(e.X)
		right, rightOK := literal(e.Y)
		return left + right, leftOK || rightOK
	}
	return "", false
}

// badErrorText says what is wrong with the text of an error, or nothing.
func badErrorText(text string) string {
	for _, start := range []string{"failed to", "could not", "couldn't", "unable to", "error"} {
		if rest, found := strings.CutPrefix(strings.ToLower(text), start); found && (rest == "" || !unicode.IsLetter(rune(rest[0]))) {
			return fmt.Sprintf("begins with %q", start)
		}
	}
	word, _, _ := strings.Cut(text, " ")
	if first := []rune(word); len(first) > 1 && unicode.IsUpper(first[0]) && strings.ToLower(word[1:]) == word[1:] && unicode.IsLower(first[1]) {
		return "begins with a capital letter"
	}
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "!") || strings.HasSuffix(text, "\n") {
		return "ends in a full stop or line break"
	}
	return ""
}

func checkLicence(s *source, report reporter) {
	if !bytes.HasPrefix(s.data, []byte("// SPDX-License-Identifier: Apache-2.0\n\n")) {
		report(s.file.FileStart, s.path, "the licence line is missing")
	}
}

func checkFormat(s *source, report reporter) {
	formatted, err := format.Source(s.data)
	if err != nil || !bytes.Equal(formatted, s.data) {
		report(s.file.FileStart, s.path, "run gofmt -w %s", s.path)
	}
}

// checkPackageComment looks at the first file of a package only.
func checkPackageComment(s *source, report reporter) {
	var documented bool
	for _, sibling := range s.siblings {
		if sibling.isTest() {
			continue
		}
		if sibling.path < s.path {
			return
		}
		documented = documented || sibling.describesPackage()
	}
	if !documented {
		report(s.file.Package, s.dir(), "package %s has no comment, or one that does not begin with \"Package %s\"", s.dir(), s.file.Name.Name)
	}
}

// describesPackage tells whether the file has a package comment. One of a
// program may begin as it likes.
func (s *source) describesPackage() bool {
	text := s.file.Doc.Text()
	return text != "" && (s.isCommand() || strings.HasPrefix(text, "Package "+s.file.Name.Name+" "))
}

// unfinished returns the words that mark unfinished work. They are put together
// here so that this file has none.
func unfinished() []string { return []string{"TO" + "DO", "FIX" + "ME", "X" + "XX"} }

func checkUnfinished(s *source, report reporter) {
	for i, line := range strings.Split(string(s.data), "\n") {
		for _, word := range unfinished() {
			if containsWord(line, word) {
				report(s.fset.File(s.file.FileStart).LineStart(i+1), word, "%s", word)
			}
		}
	}
}

func containsWord(line, word string) bool { return slices.Contains(words(line), word) }

// words returns the identifiers in a text.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' })
}
