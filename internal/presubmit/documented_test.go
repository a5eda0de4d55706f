// SPDX-License-Identifier: Apache-2.0

package presubmit

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// checkDocumented looks at every exported name of package scope and every
// exported method of an exported type.
func checkDocumented(s *source, report reporter) {
	for _, decl := range s.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if isPublic(d) && !describes(d.Doc, d.Name.Name) {
				report(d.Pos(), d.Name.Name, "%s has no comment that begins with its name", d.Name.Name)
			}
		case *ast.GenDecl:
			checkGroup(d, report)
		}
	}
}

// isPublic tells whether a function, or a method and its type, is exported.
// Methods that the standard library documents need no words of ours.
func isPublic(f *ast.FuncDecl) bool {
	if !f.Name.IsExported() {
		return false
	}
	if f.Recv == nil {
		return true
	}
	known := []string{"Error", "Unwrap", "Is", "As", "String", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText"}
	receiver := rootType(f.Recv.List[0].Type)
	return receiver != nil && receiver.IsExported() && !slices.Contains(known, f.Name.Name)
}

func rootType(expr ast.Expr) *ast.Ident {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return rootType(e.X)
	case *ast.IndexExpr:
		return rootType(e.X)
	case *ast.IndexListExpr:
		return rootType(e.X)
	}
	return rootOf(expr)
}

// checkGroup looks at the types, constants or variables of one declaration. In
// a group of values the group's comment, or one at the end of the line, will do.
func checkGroup(group *ast.GenDecl, report reporter) {
	for _, spec := range group.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			doc := s.Doc
			if doc == nil {
				doc = group.Doc
			}
			if s.Name.IsExported() && !describes(doc, s.Name.Name) {
				report(s.Pos(), s.Name.Name, "type %s has no comment that begins with its name", s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && group.Doc == nil && s.Doc == nil && s.Comment == nil {
					report(s.Pos(), name.Name, "%s %s has no comment", strings.ToLower(token.Token(group.Tok).String()), name.Name)
				}
			}
		}
	}
}

// describes tells whether a comment begins with the name, or with an article
// and the name.
func describes(doc *ast.CommentGroup, name string) bool {
	words := strings.Fields(doc.Text())
	if len(words) > 0 && slices.Contains([]string{"A", "An", "The"}, words[0]) {
		words = words[1:]
	}
	return len(words) > 0 && strings.TrimRight(words[0], ".,:;") == name
}
