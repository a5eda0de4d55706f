// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tap

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// TestMain is the plugin's main function in a process that the plugin itself has
// started: the running executable is this one.
func TestMain(m *testing.M) {
	if os.Getenv("CNI_COMMAND") == "(helper)" {
		plugin.Main(Plugin)
		return
	}
	os.Exit(m.Run())
}

func TestTap(t *testing.T) {
	testrig.RunSpecs(t, "plugins/main/tap")
}

var ipamPath = testrig.BuiltIPAM()

var _ = DescribeTable("a configuration that makes no sense", testrig.Refuses(Plugin),
	Entry("mtu", `{"name":"n","mtu":-1}`, "mtu: -1 is outside 0-65521"),
	Entry("mtu too large for Ethernet", `{"name":"n","mtu":65522}`, "mtu: 65522 is outside 0-65521"),
	Entry("MAC", `{"name":"n","mac":"01:00:00:00:00:01"}`, "mac: "),
	Entry("MAC from the runtime", `{"name":"n","runtimeConfig":{"mac":"x"}}`, "runtimeConfig.mac: "),
	Entry("owner", `{"name":"n","owner":-1}`, "owner: -1 is not a whole number"),
	Entry("group", `{"name":"n","group":4294967296}`, "group: 4294967296 is not a whole number"),
	Entry("owner and group that stand for none", `{"name":"n","owner":4294967295,"group":4294967295}`,
		"owner: 4294967295 is outside 0-4294967294", "group: 4294967295 is outside 0-4294967294"),
	Entry("bridge", `{"name":"n","bridge":"a/b"}`, `bridge: "a/b" cannot be the name of an interface`),
	Entry("context", `{"name":"n","selinuxContext":"a\nb"}`, "selinuxContext: "),
)

func FuzzParse(f *testing.F) {
	testrig.FuzzLint(f, Plugin,
		`{"name":"n","multiQueue":true,"owner":0,"group":7,"mtu":1400,"bridge":"br1","selinuxContext":"a:b:c"}`,
		`{"mtu":"x","mac":7,"owner":-1,"group":1e30,"bridge":null}`)
}
