// SPDX-License-Identifier: Apache-2.0

package presubmit

import (
	"slices"
	"strings"
	"testing"
)

// heavy are packages that no plugin may pull in, by prefix, with what speaks
// against each.
func heavy() map[string]string {
	return map[string]string{
		"net/http":                "with what it needs itself it adds megabytes, and tables to fill at start-up",
		"crypto/tls":              "it adds megabytes, and tables to fill at start-up",
		"encoding/gob":            "it takes a quarter of a millisecond at start-up; internal/gobwire speaks the same",
		"text/template":           "it makes the linker keep every exported method",
		"html/template":           "it makes the linker keep every exported method",
		"testing":                 "it belongs to tests",
		"google.golang.org/":      "grpc and protobuf register themselves at start-up",
		"sigs.k8s.io/knftables":   "it runs the nft binary",
		"golang.org/x/net/":       "only bpf, which mdlayher/netlink needs, is small",
		"golang.org/x/tools":      "it belongs to build tools",
		"github.com/onsi/":        "it belongs to tests",
		module + "/pkg/testutils": "it belongs to tests",
		"github.com/containernetworking/cni/libcni": "it is the runtime's half of the protocol",
	}
}

// TestStartUp looks at everything that is linked into a plugin.
func TestStartUp(t *testing.T) {
	for _, p := range goList(t, "./plugins/...", "./cmd/...") {
		if p.Name != "main" {
			continue
		}
		t.Run(strings.TrimPrefix(p.ImportPath, module+"/"), func(t *testing.T) {
			for _, dep := range p.Deps {
				if why := tooHeavy(dep); why != "" {
					t.Errorf("pulls in %s: %s.\n\tEvery call of a plugin starts a process; \"go list -deps\" shows the way there", dep, why)
				}
			}
		})
	}
}

// TestNetfilter keeps what speaks with netfilter, which has tables to make at
// start-up, to the plugins that make rules; and a regular expression of start-up, in
// what pkg/ip and pkg/utils need for programs that import them, away from all.
func TestNetfilter(t *testing.T) {
	makeRules := []string{"main/bridge", "main/ptp", "meta/firewall", "meta/portmap"}
	for _, p := range goList(t, "./plugins/...") {
		if p.Name != "main" {
			continue
		}
		if slices.Contains(p.Deps, "github.com/coreos/go-iptables/iptables") {
			t.Errorf("%s pulls in go-iptables, which none of the plugins needs", p.ImportPath)
		}
		makes := slices.Contains(makeRules, strings.TrimPrefix(p.ImportPath, module+"/plugins/"))
		if !makes && slices.Contains(p.Deps, "github.com/google/nftables") {
			t.Errorf("%s pulls in nftables, and makes no rules", p.ImportPath)
		}
	}
}

// TestStartup looks for the package that is for programs alone, and for
// each of them: a library must not change what imports it.
func TestStartup(t *testing.T) {
	programs := map[string]bool{}
	for _, p := range goList(t, "./plugins/...", "./cmd/...") {
		programs[p.ImportPath] = p.Name == "main"
	}
	for _, p := range goList(t, "./...") {
		imports := slices.Contains(p.Imports, module+"/internal/startup")
		if imports != programs[p.ImportPath] {
			t.Errorf("%s imports internal/startup: %t, expected %t", p.ImportPath, imports, programs[p.ImportPath])
		}
	}
}

func tooHeavy(dep string) string {
	small := []string{"golang.org/x/net/bpf"}
	if slices.Contains(small, dep) {
		return ""
	}
	for prefix, why := range heavy() {
		if dep == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(dep, strings.TrimSuffix(prefix, "/")+"/") {
			return why
		}
	}
	return ""
}

func TestTooHeavy(t *testing.T) {
	for dep, want := range map[string]bool{
		"net/http": true, "net/http/internal": true, "net/httptest": false, "net": false,
		"golang.org/x/net/bpf": false, "golang.org/x/net/http2": true, "golang.org/x/net": true,
	} {
		if got := tooHeavy(dep) != ""; got != want {
			t.Errorf("%s: too heavy is %t, want %t", dep, got, want)
		}
	}
}
