// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ipvlan

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/conf"
)

func TestIPVlan(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/main/ipvlan")
}

var ipamPath string

var _ = BeforeSuite(func() {
	ipamPath = testrig.BuildIPAM()
	DeferCleanup(gexec.CleanupBuildArtifacts)
})

var _ = DescribeTable("a configuration that makes no sense",
	func(text, want string) {
		Expect(Plugin.Lint([]byte(text))).To(MatchError(ContainSubstring(want)))
	},
	Entry("mode", `{"name":"n","mode":"l4"}`, `mode: "l4" is not one of l2, l3, l3s`),
	Entry("mtu", `{"name":"n","mtu":-1}`, "mtu: -1 is outside 0-65535"),
)

func FuzzParse(f *testing.F) {
	f.Add(`{"name":"n","master":"eth0","mode":"l3s","mtu":1400,"linkInContainer":true}`)
	f.Add(`{"mtu":"x","mode":null}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var c Config
		var p conf.Problems
		if _, err := conf.Decode([]byte(text), &c, &p); err == nil {
			c.Validate(&p, nil)
		}
		_ = p.Err()
	})
}
