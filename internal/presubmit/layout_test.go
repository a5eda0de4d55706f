// SPDX-License-Identifier: Apache-2.0

package presubmit

import (
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"testing"
)

// pluginDirs are the directories of the plugins, sorted.
func pluginDirs(t *testing.T) []string {
	t.Helper()
	dirs := map[string]bool{}
	for _, s := range sources(t) {
		if dir := pluginOf(s.dir()); dir != "" {
			dirs[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}

// TestLayout wants every plugin's directory to look the same, so that who knows
// one knows all, and so that a plugin can be linked into another program.
func TestLayout(t *testing.T) {
	for _, dir := range pluginDirs(t) {
		t.Run(dir, func(t *testing.T) {
			for _, name := range []string{"main.go", "README.md", "plugin", "plugin/suite_test.go"} {
				if !exists(path.Join(dir, name)) {
					t.Errorf("%s/%s is missing: a plugin has main.go, README.md and its code, with a suite, in plugin/", dir, name)
				}
			}
			for _, s := range sources(t) {
				if s.dir() == dir {
					expectOnlyMain(t, s)
				}
			}
		})
	}
}

// TestConformance wants every plugin to be asked what all plugins are asked, and
// to be killed at every moment.
func TestConformance(t *testing.T) {
	for _, dir := range pluginDirs(t) {
		matrix, functions := "pkg/testutils/conformance", []string{"Run", "KillMatrix"}
		if within(dir, "plugins/main/windows") { // asked, and killed, in process
			matrix, functions = "internal/hnstest", []string{"Run"}
		}
		called := map[string]bool{}
		for _, s := range sources(t) {
			if s.in(dir) && s.isTest() {
				for _, name := range s.calls(path.Join(module, matrix)) {
					called[name] = true
				}
			}
		}
		for _, name := range functions {
			if !called[name] {
				t.Errorf("%s: its tests do not call %s.%s: what one plugin got wrong, each could", dir, path.Base(matrix), name)
			}
		}
	}
}

// expectOnlyMain wants a file to be main.go with func main() { plugin.Main(...) }.
func expectOnlyMain(t *testing.T, s *source) {
	if path.Base(s.path) != "main.go" {
		t.Errorf("%s: only main.go stands beside plugin/; package main cannot be imported, so nothing else belongs there", s.path)
		return
	}
	for _, decl := range s.file.Decls {
		switch d := decl.(type) {
		case *ast.GenDecl:
			if d.Tok != token.IMPORT {
				t.Errorf("%s:%d: main.go declares nothing but main", s.path, s.line(d.Pos()))
			}
		case *ast.FuncDecl:
			if d.Name.Name != "main" || !s.onlyCallsMain(d) {
				t.Errorf("%s:%d: main.go is func main() { plugin.Main(<name>.Plugin) } and nothing else", s.path, s.line(d.Pos()))
			}
		}
	}
}

func (s *source) onlyCallsMain(f *ast.FuncDecl) bool {
	if len(f.Body.List) != 1 {
		return false
	}
	statement, ok := f.Body.List[0].(*ast.ExprStmt)
	for call, name := range s.calls(module + "/pkg/plugin") {
		if ok && ast.Expr(call) == statement.X && name == "Main" {
			return true
		}
	}
	return false
}

func TestOnlyCallsMain(t *testing.T) {
	const head = "package main\nimport \"" + module + "/pkg/plugin\"\n"
	for code, want := range map[string]bool{
		"func main() { plugin.Main(bridge.Plugin) }":          true,
		"func main() { print(); plugin.Main(bridge.Plugin) }": false,
		"func main() { print() }":                             false,
		"func main() { plugin.Exit(bridge.Plugin) }":          false,
	} {
		s, err := parse("main.go", []byte(head+code))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.onlyCallsMain(s.file.Decls[1].(*ast.FuncDecl)); got != want {
			t.Errorf("%s: %t, want %t", code, got, want)
		}
	}
}
