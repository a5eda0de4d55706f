// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dummy

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestDummy(t *testing.T) {
	testrig.RunSpecs(t, "plugins/main/dummy")
}

var ipamPath = testrig.BuiltIPAM()

var _ = DescribeTable("a configuration that makes no sense", testrig.Refuses(Plugin),
	Entry("no IPAM", `{"name":"n"}`, "ipam.type: missing"),
	Entry("a key of other plugins", `{"name":"n","mtu":1500,"ipam":{"type":"static"}}`, "mtu: unknown key"),
)
