// SPDX-License-Identifier: Apache-2.0

package presubmit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// netlinkDumps returns the names of the functions that may return half a list:
// those of which github.com/vishvananda/netlink says so in their comments, and
// the two that dump without saying so.
var netlinkDumps = sync.OnceValue(func() []string {
	names := []string{"ConntrackDeleteFilter", "ConntrackDeleteFilters"}
	cmd := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/vishvananda/netlink")
	cmd.Dir = root
	dir, err := cmd.Output()
	if err != nil {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*_linux.go"))
	if err != nil {
		return nil
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil
		}
		names = append(names, declaredDumps(file)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
})

func declaredDumps(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		// A subscription reports the interruption to its callback, where there
		// is nothing to repeat.
		if ok && strings.Contains(f.Doc.Text(), "[ErrDumpInterrupted]") && !strings.Contains(f.Name.Name, "Subscribe") {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// TestNetlinkDumps guards the list against a library that words it differently.
func TestNetlinkDumps(t *testing.T) {
	names := netlinkDumps()
	for _, want := range []string{"LinkList", "LinkByName", "AddrList", "RouteList", "RouteListFiltered", "RuleList", "QdiscList",
		"FilterList", "NeighList", "BridgeVlanList", "LinkGetProtinfo", "ConntrackDeleteFilters"} {
		if !slices.Contains(names, want) {
			t.Errorf("netlink.%s is not recognised as a dump; %d functions are", want, len(names))
		}
	}
}
