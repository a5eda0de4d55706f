// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vlan

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/conf"
)

func TestVlan(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/main/vlan")
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
	Entry("no master", `{"name":"n","vlanId":7}`, "master: missing"),
	Entry("VLAN", `{"name":"n","master":"eth0","vlanId":4095}`, "vlanId: 4095 is outside 0-4094"),
	Entry("mtu", `{"name":"n","master":"eth0","mtu":-1}`, "mtu: -1 is outside 0-65535"),
)

func FuzzParse(f *testing.F) {
	f.Add(`{"name":"n","master":"eth0","vlanId":7,"mtu":1400,"linkInContainer":true}`)
	f.Add(`{"mtu":"x","vlanId":1e30}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var c Config
		var p conf.Problems
		if _, err := conf.Decode([]byte(text), &c, &p); err == nil {
			c.Validate(&p, nil)
		}
		_ = p.Err()
	})
}
