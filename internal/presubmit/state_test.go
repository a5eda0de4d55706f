// SPDX-License-Identifier: Apache-2.0

package presubmit

import (
	"go/ast"
	"go/token"
	"strings"
)

// checkPackageState looks at every variable of package scope.
func checkPackageState(s *source, report reporter) {
	for _, decl := range s.file.Decls {
		vars, ok := decl.(*ast.GenDecl)
		if !ok || vars.Tok != token.VAR {
			continue
		}
		for _, spec := range vars.Specs {
			spec := spec.(*ast.ValueSpec)
			for i, name := range spec.Names {
				if complaint := s.badVariable(spec, i); complaint != "" {
					report(name.Pos(), name.Name, "var %s %s", name.Name, complaint)
				}
			}
		}
	}
}

// badVariable says what is wrong with the i-th variable of spec, or nothing.
func (s *source) badVariable(spec *ast.ValueSpec, i int) string {
	name := spec.Names[i].Name
	if s.isSetByLinker(name) {
		return ""
	}
	if i >= len(spec.Values) {
		return "has no value yet, so somebody will change it"
	}
	value := spec.Values[i]
	switch {
	case s.isSentinel(name, value), s.isPlugin(name, value):
		return ""
	case computes(value):
		return "is computed at start-up"
	case name == "_":
		return ""
	case ast.IsExported(name):
		return "can be changed by everybody; make it a constant or a function"
	}
	for _, sibling := range s.siblings {
		if sibling.changes(name, spec) {
			return "is changed in " + sibling.path
		}
	}
	return ""
}

// isSetByLinker tells whether a variable is one of those that builds set with
// -X, and that nobody else may.
func (s *source) isSetByLinker(name string) bool {
	return s.dir() == "pkg/utils/buildversion" && name == "BuildVersion" ||
		s.dir() == "internal/linked" && strings.HasSuffix(name, "BuildID")
}

// isSentinel tells whether a variable holds an error to be asked for with
// errors.Is.
func (s *source) isSentinel(name string, value ast.Expr) bool {
	if !strings.HasPrefix(strings.ToLower(name), "err") {
		return false
	}
	for call := range s.errorTexts() {
		if ast.Expr(call) == value {
			return true
		}
	}
	other, ok := value.(*ast.SelectorExpr) // another name for another package's
	return ok && strings.HasPrefix(other.Sel.Name, "Err")
}

// isPlugin tells whether a variable is a plugin, as its definition makes it.
func (s *source) isPlugin(name string, value ast.Expr) bool {
	for call, function := range s.calls(module + "/pkg/plugin") {
		if ast.Expr(call) == value && function == "New" && name == "Plugin" {
			return true
		}
	}
	return false
}

// computes tells whether a value takes more than the linker's work: a call of
// anything that is not plainly a conversion. The body of a function literal
// runs later.
func computes(value ast.Expr) bool {
	found := false
	ast.Inspect(value, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.FuncLit:
			return false
		case *ast.CallExpr:
			switch n.Fun.(type) {
			case *ast.Ident, *ast.SelectorExpr, *ast.FuncLit, *ast.IndexExpr:
				found = true
			}
		}
		return !found
	})
	return found
}

// changes tells whether the file writes to the variable of package scope that
// spec declares, or takes its address so that somebody else can.
func (s *source) changes(name string, spec *ast.ValueSpec) bool {
	is := func(expr ast.Expr) bool {
		id := rootOf(expr)
		// Unresolved means declared in another file of the package.
		return id != nil && id.Name == name && (id.Obj == nil || id.Obj.Decl == spec)
	}
	for node := range ast.Preorder(s.file) {
		for _, target := range targets(node) {
			if is(target) {
				return true
			}
		}
	}
	return false
}

// targets returns the expressions that a node writes to.
func targets(node ast.Node) []ast.Expr {
	switch n := node.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear" || f.Name == "copy") && len(n.Args) > 0 {
			return n.Args[:1]
		}
	}
	return nil
}

// rootOf returns the variable that an expression is a part of, or nil.
func rootOf(expr ast.Expr) *ast.Ident {
	for {
		switch e := expr.(type) {
		case *ast.Ident:
			return e
		case *ast.IndexExpr:
			expr = e.X
		case *ast.SelectorExpr:
			expr = e.X
		case *ast.SliceExpr:
			expr = e.X
		case *ast.ParenExpr:
			expr = e.X
		case *ast.StarExpr:
			expr = e.X
		default:
			return nil
		}
	}
}
