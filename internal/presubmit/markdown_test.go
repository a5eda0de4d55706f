// SPDX-License-Identifier: Apache-2.0

package presubmit

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// document is one Markdown file.
type document struct {
	path     string
	lines    []string
	headings []string // of level two
	code     []string // words of the text that stand in backquotes
	blocks   []block
}

// block is a fenced block of a document.
type block struct {
	language string
	text     string
	line     int    // of the opening fence
	heading  string // of level two, above it
	label    string // the last line of text above it
}

// documents are the module's Markdown files.
func documents(t *testing.T) []document {
	t.Helper()
	var all []document
	err := walk(func(name string) error {
		if path.Ext(name) != ".md" {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		all = append(all, parseMarkdown(name, string(data)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func parseMarkdown(name, text string) document {
	doc := document{path: name, lines: strings.Split(text, "\n")}
	inline := regexp.MustCompile("`[^`]+`")
	var open *block
	var fence, label, heading string
	for i, line := range doc.lines {
		switch {
		case open != nil && line == fence:
			doc.blocks = append(doc.blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "```"):
			language := strings.TrimLeft(line, "`")
			fence = strings.TrimSuffix(line, language)
			open = &block{language: language, line: i + 1, heading: heading, label: label}
		case strings.HasPrefix(line, "## "):
			heading = strings.TrimPrefix(line, "## ")
			doc.headings = append(doc.headings, heading)
		case strings.TrimSpace(line) != "":
			label = line
			for _, code := range inline.FindAllString(line, -1) {
				doc.code = append(doc.code, words(code)...)
			}
		}
	}
	if open != nil { // never closed
		doc.blocks = append(doc.blocks, *open)
	}
	return doc
}

func TestParseMarkdown(t *testing.T) {
	doc := parseMarkdown("x.md", "# t\n## One\nthe `a.b` label:\n\n```json\n{}\n```\n````markdown\n```json\n```\n````\n## Two\n```\ncut")
	if want := []string{"One", "Two"}; !slices.Equal(doc.headings, want) {
		t.Errorf("headings %q, want %q", doc.headings, want)
	}
	if want := []string{"a", "b"}; !slices.Equal(doc.code, want) {
		t.Errorf("words of code %q, want %q", doc.code, want)
	}
	want := []block{
		{"json", "{}\n", 5, "One", "the `a.b` label:"},
		{"markdown", "```json\n```\n", 8, "One", "the `a.b` label:"},
		{"", "cut\n", 13, "Two", "the `a.b` label:"},
	}
	if !slices.Equal(doc.blocks, want) {
		t.Errorf("blocks %+v, want %+v", doc.blocks, want)
	}
}

// TestLinks follows every relative link: a document that sends its reader to
// nowhere is wrong about the rest, too.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, doc := range documents(t) {
		for i, line := range doc.lines {
			for _, match := range link.FindAllStringSubmatch(line, -1) {
				if target := path.Join(path.Dir(doc.path), match[1]); !exists(target) {
					t.Errorf("%s:%d: the link to %s leads nowhere", doc.path, i+1, target)
				}
			}
		}
	}
}

// TestMentionedFiles looks for every script and source file that a document
// names by its path from the root.
func TestMentionedFiles(t *testing.T) {
	file := regexp.MustCompile(`(?:^|[\s\x60])(?:\./)?((?:(?:scripts|internal|pkg|plugins|cmd|Documentation)/[\w./-]*|\w+)\.(?:sh|go|md))\b`)
	for _, doc := range documents(t) {
		if doc.path == "Documentation/new-plugin.md" {
			continue // it names the files of a plugin that its reader writes
		}
		for i, line := range doc.lines {
			for _, match := range file.FindAllStringSubmatch(line, -1) {
				name := match[1]
				if !exists(name) && !exists(path.Join(path.Dir(doc.path), name)) && !isFileName(t, name) {
					t.Errorf("%s:%d: there is no %s", doc.path, i+1, name)
				}
			}
		}
	}
}

// isFileName tells whether some Go file has that name, without a directory.
func isFileName(t *testing.T, name string) bool {
	return slices.ContainsFunc(sources(t), func(s *source) bool { return path.Base(s.path) == name })
}

// TestDocumentsAreFinished is the rule "unfinished" for everything that is not
// Go.
func TestDocumentsAreFinished(t *testing.T) {
	err := walk(func(name string) error {
		if !slices.Contains([]string{".md", ".sh", ".json", ".conf", ".conflist", ".yaml", ".yml", ""}, path.Ext(name)) {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		for i, line := range strings.Split(string(data), "\n") {
			for _, word := range unfinished() {
				if containsWord(line, word) {
					t.Errorf("%s:%d: %s; finish it, or open an issue", name, i+1, word)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(root, name))
	return err == nil
}

// TestDependencies wants a reason in CONTRIBUTING.md for every module that
// go.mod asks for directly: each is code that we ship without having written it.
func TestDependencies(t *testing.T) {
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	modules := directModules(string(gomod))
	if len(modules) == 0 {
		t.Error("no module found in go.mod")
	}
	for _, module := range modules {
		if !slices.Contains(firstColumn(string(guide)), module) {
			t.Errorf("CONTRIBUTING.md does not say what %s is for", module)
		}
	}
}

// firstColumn returns the entries of the first column of a document's tables;
// there may be several in a row.
func firstColumn(text string) []string {
	var entries []string
	for line := range strings.Lines(text) {
		if rest, isRow := strings.CutPrefix(line, "| "); isRow {
			cell, _, _ := strings.Cut(rest, " |")
			entries = append(entries, strings.Split(cell, ", ")...)
		}
	}
	return entries
}

// directModules returns the modules that a go.mod asks for directly, without
// "github.com/".
func directModules(gomod string) []string {
	requirement := regexp.MustCompile(`(?m)^(?:require)?\s+(?:github\.com/)?([\w.-]+/[\w./-]+) v[^\s]+$`)
	var modules []string
	for _, match := range requirement.FindAllStringSubmatch(gomod, -1) {
		modules = append(modules, match[1])
	}
	return modules
}

func TestDirectModules(t *testing.T) {
	got := directModules("module x\n\nrequire (\n\tgithub.com/a/b/v2 v2.0.0\n\tgolang.org/x/sys v0.1.0\n\ta/c v1.0.0 // indirect\n)\nrequire d.e/f v1.0.0\n")
	if want := []string{"a/b/v2", "golang.org/x/sys", "d.e/f"}; !slices.Equal(got, want) {
		t.Errorf("modules %q, want %q", got, want)
	}
}
