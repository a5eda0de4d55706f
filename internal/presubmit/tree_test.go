// SPDX-License-Identifier: Apache-2.0

package presubmit

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/containernetworking/plugins"
	root   = "../.." // of the module, seen from this directory
)

// source is one Go file.
type source struct {
	path     string // from the root of the module
	data     []byte
	fset     *token.FileSet
	file     *ast.File
	siblings []*source // the files of its directory, itself among them
}

func parse(name string, data []byte) (*source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, data, parser.ParseComments)
	return &source{path: name, data: data, fset: fset, file: file}, err
}

// dir is the directory of the file, which is its import path below the module.
func (s *source) dir() string { return path.Dir(s.path) }

func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// isCommand tells whether the file belongs to a program.
func (s *source) isCommand() bool { return s.file.Name.Name == "main" }

// in tells whether the file stands in dir or below it.
func (s *source) in(dir string) bool { return within(s.path, dir) }

func (s *source) line(pos token.Pos) int { return s.fset.Position(pos).Line }

// imports yields the paths that the file imports.
func (s *source) imports() iter.Seq2[*ast.ImportSpec, string] {
	return func(yield func(*ast.ImportSpec, string) bool) {
		for _, spec := range s.file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if !yield(spec, imported) {
				return
			}
		}
	}
}

// localName returns the name by which the file refers to an imported package,
// or "" if it does not import it.
func (s *source) localName(importPath string) string {
	for spec, imported := range s.imports() {
		switch {
		case imported != importPath:
		case spec.Name != nil:
			return spec.Name.Name
		default:
			return path.Base(importPath)
		}
	}
	return ""
}

// uses yields every mention of a name of the imported package.
func (s *source) uses(importPath string) iter.Seq2[*ast.SelectorExpr, string] {
	return func(yield func(*ast.SelectorExpr, string) bool) {
		local := s.localName(importPath)
		if local == "" {
			return
		}
		for node := range ast.Preorder(s.file) {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok {
				continue
			}
			// An identifier with an object is a variable that shadows the package.
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == local && x.Obj == nil && !yield(selector, selector.Sel.Name) {
				return
			}
		}
	}
}

// calls yields every call of a function of the imported package.
func (s *source) calls(importPath string) iter.Seq2[*ast.CallExpr, string] {
	return func(yield func(*ast.CallExpr, string) bool) {
		names := map[ast.Expr]string{}
		for selector, name := range s.uses(importPath) {
			names[selector] = name
		}
		for node := range ast.Preorder(s.file) {
			if call, ok := node.(*ast.CallExpr); ok && names[call.Fun] != "" && !yield(call, names[call.Fun]) {
				return
			}
		}
	}
}

// sources are the module's Go files, sorted by path.
func sources(t *testing.T) []*source {
	t.Helper()
	all, err := loadSources()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var loadSources = sync.OnceValues(func() ([]*source, error) {
	var all []*source
	packages := map[string][]*source{}
	err := walk(func(name string) error {
		if path.Ext(name) != ".go" {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		s, err := parse(name, data)
		if err != nil {
			return err
		}
		all = append(all, s)
		packages[s.dir()] = append(packages[s.dir()], s)
		return nil
	})
	for _, s := range all {
		s.siblings = packages[s.dir()]
	}
	return all, err
})

// walk calls visit with every file of the module that is not hidden, built or
// part of a nested module, by its path from the root.
func walk(visit func(name string) error) error {
	return filepath.WalkDir(root, func(full string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, full)
		if err != nil || name == "." {
			return err
		}
		if entry.IsDir() {
			if name == "bin" || name == "vendor" || strings.HasPrefix(entry.Name(), ".") || isModule(full) {
				return filepath.SkipDir
			}
			return nil
		}
		return visit(filepath.ToSlash(name))
	})
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// listed is what "go list" says about a package.
type listed struct {
	ImportPath string
	Name       string
	Deps       []string
	Imports    []string
}

// goList describes the packages that match the patterns.
func goList(t *testing.T, patterns ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", slices.Concat([]string{"list", "-e", "-json=ImportPath,Name,Deps,Imports"}, patterns)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		packages = append(packages, p)
	}
	return packages
}
