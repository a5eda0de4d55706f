// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ipvlan

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestIPVlan(t *testing.T) {
	testrig.RunSpecs(t, "plugins/main/ipvlan")
}

var ipamPath = testrig.BuiltIPAM()

var _ = DescribeTable("a configuration that makes no sense", testrig.Refuses(Plugin),
	Entry("mode", `{"name":"n","mode":"l4"}`, `mode: "l4" is not one of l2, l3, l3s`),
	Entry("mtu", `{"name":"n","mtu":-1}`, "mtu: -1 is outside 0-65535"),
)

func FuzzParse(f *testing.F) {
	testrig.FuzzLint(f, Plugin,
		`{"name":"n","master":"eth0","mode":"l3s","mtu":1400,"linkInContainer":true}`,
		`{"mtu":"x","mode":null}`)
}
