// SPDX-License-Identifier: Apache-2.0

//go:build linux

package macvlan

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/conf"
)

func TestMacvlan(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/main/macvlan")
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
	Entry("mode", `{"name":"n","mode":"source"}`, `mode: "source" is not one of bridge, private, vepa, passthru`),
	Entry("mtu", `{"name":"n","mtu":-1}`, "mtu: -1 is outside 0-65535"),
	Entry("MAC", `{"name":"n","mac":"01:00:00:00:00:01"}`, "mac: "),
	Entry("MAC from the runtime", `{"name":"n","runtimeConfig":{"mac":"x"}}`, "runtimeConfig.mac: "),
	Entry("queue length", `{"name":"n","bcqueuelen":-1}`, "bcqueuelen: -1 is not a whole number"),
)

func FuzzParse(f *testing.F) {
	f.Add(`{"name":"n","master":"eth0","mode":"vepa","mtu":1400,"bcqueuelen":5,"linkInContainer":true}`)
	f.Add(`{"mtu":"x","mac":7,"mode":null,"bcqueuelen":1e30}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var c Config
		var p conf.Problems
		if _, err := conf.Decode([]byte(text), &c, &p); err == nil {
			c.Validate(&p, nil)
		}
		_ = p.Err()
	})
}
