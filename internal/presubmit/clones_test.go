// SPDX-License-Identifier: Apache-2.0

package presubmit

import (
	"cmp"
	"fmt"
	"go/scanner"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

const (
	cloneRun     = 40  // so many equal tokens in a row in two files are a clone
	maxCloneRate = 4.0 // per cent of the lines with code
)

// TestClones measures how much of the product stands in two files.
func TestClones(t *testing.T) {
	var files []*source
	for _, s := range sources(t) {
		if product(s) {
			files = append(files, s)
		}
	}
	found := findClones(files)
	t.Logf("%.1f %% of %d lines of code are clones", found.rate(), found.code)
	if found.rate() > maxCloneRate {
		t.Errorf("%.1f %% of the lines stand in a run of %d tokens that another file has too; at most %.0f %% may.\n"+
			"\tShare the second time: move it to a named package of internal or pkg, with a test, so that nobody has to choose between two versions.\n%s",
			found.rate(), cloneRun, maxCloneRate, found)
	}
}

// clones is what findClones found.
type clones struct {
	code   int                           // lines with code
	cloned map[*source]map[int][]*source // by file and line, the other files
}

func (c clones) rate() float64 {
	lines := 0
	for _, perLine := range c.cloned {
		lines += len(perLine)
	}
	return 100 * float64(lines) / float64(max(c.code, 1))
}

// String lists the runs of cloned lines, the file with the most first.
func (c clones) String() string {
	files := slices.SortedFunc(maps.Keys(c.cloned), func(a, b *source) int {
		return cmp.Or(cmp.Compare(len(c.cloned[b]), len(c.cloned[a])), cmp.Compare(a.path, b.path))
	})
	var text strings.Builder
	for _, file := range files {
		lines := slices.Sorted(maps.Keys(c.cloned[file]))
		for first := 0; first < len(lines); {
			last := first
			for last+1 < len(lines) && lines[last+1] <= lines[last]+2 {
				last++
			}
			fmt.Fprintf(&text, "\t%s:%d-%d is also in %s\n", file.path, lines[first], lines[last], paths(c.cloned[file][lines[first]]))
			first = last + 1
		}
	}
	return text.String()
}

func paths(files []*source) string {
	var names []string
	for _, s := range files {
		names = append(names, s.path)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// place is a run of cloneRun tokens.
type place struct {
	file  *source
	first int // number of its first token
}

// findClones finds the runs that more than one file has.
func findClones(files []*source) clones {
	found := clones{cloned: map[*source]map[int][]*source{}}
	tokens := map[*source][]codeToken{}
	places := map[string][]place{}
	for _, file := range files {
		list := codeTokens(file)
		tokens[file] = list
		found.code += countLines(list)
		texts := make([]string, len(list))
		for i, token := range list {
			texts[i] = token.text
		}
		for i := range len(list) - cloneRun + 1 {
			run := strings.Join(texts[i:i+cloneRun], "\x00")
			places[run] = append(places[run], place{file, i})
		}
	}
	for _, same := range places {
		for _, p := range same {
			for _, other := range same {
				if other.file != p.file {
					found.add(p.file, other.file, tokens[p.file][p.first:p.first+cloneRun])
				}
			}
		}
	}
	return found
}

func (c clones) add(file, other *source, run []codeToken) {
	if c.cloned[file] == nil {
		c.cloned[file] = map[int][]*source{}
	}
	for _, token := range run {
		if others := c.cloned[file][token.line]; !slices.Contains(others, other) {
			c.cloned[file][token.line] = append(others, other)
		}
	}
}

// codeToken is a token that is no comment and in no import declaration.
type codeToken struct {
	text string
	line int
}

func codeTokens(s *source) []codeToken {
	var list []codeToken
	file := token.NewFileSet().AddFile(s.path, -1, len(s.data))
	var scan scanner.Scanner
	scan.Init(file, s.data, nil, 0)
	importEnd := s.importsEnd()
	for {
		pos, kind, text := scan.Scan()
		if kind == token.EOF {
			return list
		}
		if file.Line(pos) <= importEnd {
			continue
		}
		if !kind.IsLiteral() {
			text = kind.String()
		}
		list = append(list, codeToken{text, file.Line(pos)})
	}
}

// importsEnd returns the last line of the file's imports, or of its package
// clause.
func (s *source) importsEnd() int {
	end := s.line(s.file.Name.End())
	for _, spec := range s.file.Imports {
		end = max(end, s.line(spec.End()))
	}
	return end
}

func countLines(tokens []codeToken) int {
	lines := map[int]bool{}
	for _, token := range tokens {
		lines[token.line] = true
	}
	return len(lines)
}

func TestFindClones(t *testing.T) {
	body := func(statements int) string {
		return "{\n" + strings.Repeat("\tx := f(a, b)\n", statements) + "}\n"
	}
	file := func(name, code string) *source {
		s, err := parse(name, []byte("package x\n\nimport \"fmt\"\n\n"+code))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	long, short := body(6), body(2)
	for _, test := range []struct {
		name  string
		files []*source
		want  int // cloned lines
	}{
		{"the same in two files", []*source{file("a.go", "func a() "+long), file("b.go", "func b(c int) "+long)}, 2 * (1 + 6 + 1)},
		{"the same twice in one file", []*source{file("a.go", "func a() "+long+"func b() "+long), file("b.go", "func c() "+short)}, 0},
		{"too short", []*source{file("a.go", "func a() "+short), file("b.go", "func b() "+short)}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := 0
			for _, lines := range findClones(test.files).cloned {
				got += len(lines)
			}
			if got != test.want {
				t.Errorf("%d cloned lines, want %d", got, test.want)
			}
		})
	}
}
