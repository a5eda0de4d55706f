// SPDX-License-Identifier: Apache-2.0

//go:build linux

package macvlan

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestMacvlan(t *testing.T) {
	testrig.RunSpecs(t, "plugins/main/macvlan")
}

var ipamPath = testrig.BuiltIPAM()

var _ = DescribeTable("a configuration that makes no sense", testrig.Refuses(Plugin),
	Entry("mode", `{"name":"n","mode":"source"}`, `mode: "source" is not one of bridge, private, vepa, passthru`),
	Entry("mtu", `{"name":"n","mtu":-1}`, "mtu: -1 is outside 0-65535"),
	Entry("MAC", `{"name":"n","mac":"01:00:00:00:00:01"}`, "mac: "),
	Entry("MAC from the runtime", `{"name":"n","runtimeConfig":{"mac":"x"}}`, "runtimeConfig.mac: "),
	Entry("queue length", `{"name":"n","bcqueuelen":-1}`, "bcqueuelen: -1 is not a whole number"),
)

func FuzzParse(f *testing.F) {
	testrig.FuzzLint(f, Plugin,
		`{"name":"n","master":"eth0","mode":"vepa","mtu":1400,"bcqueuelen":5,"linkInContainer":true}`,
		`{"mtu":"x","mac":7,"mode":null,"bcqueuelen":1e30}`)
}
