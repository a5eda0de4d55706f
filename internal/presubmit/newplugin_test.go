// SPDX-License-Identifier: Apache-2.0

//go:build linux

package presubmit

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNewPlugin builds and tests the plugin that Documentation/new-plugin.md
// writes, and applies the house rules to it: everybody starts from there.
func TestNewPlugin(t *testing.T) {
	guide := slices.IndexFunc(documents(t), func(doc document) bool { return doc.path == "Documentation/new-plugin.md" })
	if guide < 0 {
		t.Fatal("Documentation/new-plugin.md is missing")
	}
	files := namedBlocks(documents(t)[guide])
	dir := "plugins/meta/alias"
	for _, name := range []string{"README.md", "main.go", "plugin/alias.go", "plugin/suite_test.go"} {
		if files[path.Join(dir, name)] == "" {
			t.Fatalf("the guide does not have %s/%s", dir, name)
		}
	}
	t.Run("rules", func(t *testing.T) { expectRulesKept(t, files) })
	t.Run("example", func(t *testing.T) {
		files[path.Join(dir, "plugin/readme_test.go")] = readmeTest(t, files[path.Join(dir, "README.md")])
		overlay := writeOverlay(t, files)
		binary := filepath.Join(t.TempDir(), "alias.test")
		run(t, root, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, "./"+dir+"/plugin")
		run(t, t.TempDir(), binary)
		run(t, root, "go", "build", "-overlay", overlay, "-o", os.DevNull, "./"+dir)
	})
}

// namedBlocks returns the blocks that stand under the path of a file.
func namedBlocks(doc document) map[string]string {
	label := regexp.MustCompile("^`([\\w./-]+)`:$")
	files := map[string]string{}
	for _, b := range doc.blocks {
		if match := label.FindStringSubmatch(b.label); match != nil {
			files[match[1]] = b.text
		}
	}
	return files
}

func expectRulesKept(t *testing.T, files map[string]string) {
	packages := map[string][]*source{}
	for name, text := range files {
		if path.Ext(name) != ".go" {
			continue
		}
		s, err := parse(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		packages[s.dir()] = append(packages[s.dir()], s)
	}
	for _, siblings := range packages {
		for _, s := range siblings {
			s.siblings = siblings
			for _, r := range rules() {
				if r.covers(s) {
					r.check(s, failing(t, r, s))
				}
			}
			if s.isCommand() {
				expectOnlyMain(t, s)
			}
		}
	}
}

// readmeTest returns the source of a test that decodes the README's examples
// with the plugin.
func readmeTest(t *testing.T, readme string) string {
	doc := parseMarkdown("README.md", readme)
	if missing := missingHeadings(doc); len(missing) > 0 {
		t.Errorf("the example's README lacks the headings %q", missing)
	}
	var cases strings.Builder
	for _, b := range doc.blocks {
		var list map[string]any
		if err := json.Unmarshal([]byte(b.text), &list); err != nil {
			t.Fatalf("%v in\n%s", err, b.text)
		}
		for _, entry := range entries(list) {
			data, err := json.Marshal(entry)
			if err != nil {
				t.Fatal(err)
			}
			if typeOf(entry) == "alias" {
				cases.WriteString("`" + string(data) + "`, ")
			} else if err := lint(typeOf(entry), entry); err != nil {
				t.Error(err)
			}
		}
	}
	return `package alias

import "testing"

func TestReadme(t *testing.T) {
	for _, config := range []string{` + cases.String() + `} {
		if err := Plugin.Lint([]byte(config)); err != nil {
			t.Error(err)
		}
	}
}
`
}

// writeOverlay writes the files and the description that has the go command see
// them in the module's tree.
func writeOverlay(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	replace := map[string]string{}
	for name, text := range files {
		inTree, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		replace[inTree] = filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(replace[inTree], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}
