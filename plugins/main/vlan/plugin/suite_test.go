// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vlan

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestVlan(t *testing.T) {
	testrig.RunSpecs(t, "plugins/main/vlan")
}

var ipamPath = testrig.BuiltIPAM()

var _ = DescribeTable("a configuration that makes no sense", testrig.Refuses(Plugin),
	Entry("no master", `{"name":"n","vlanId":7}`, "master: missing"),
	Entry("VLAN", `{"name":"n","master":"eth0","vlanId":4095}`, "vlanId: 4095 is outside 0-4094"),
	Entry("mtu", `{"name":"n","master":"eth0","mtu":-1}`, "mtu: -1 is outside 0-65535"),
)

func FuzzParse(f *testing.F) {
	testrig.FuzzLint(f, Plugin,
		`{"name":"n","master":"eth0","vlanId":7,"mtu":1400,"linkInContainer":true}`,
		`{"mtu":"x","vlanId":1e30}`)
}
