// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dummy

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestDummy(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "plugins/main/dummy")
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
	Entry("no IPAM", `{"name":"n"}`, "ipam.type: missing"),
	Entry("a key of other plugins", `{"name":"n","mtu":1500,"ipam":{"type":"static"}}`, "mtu: unknown key"),
)
