// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vrf

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
)

func TestVrf(t *testing.T) {
	testrig.RunSpecs(t, "plugins/meta/vrf")
}

var _ = DescribeTable("a configuration that makes no sense", testrig.Refuses(Plugin),
	Entry("no name", `{"name":"n"}`, "vrfname: empty, the name of an interface"),
	Entry("a long name", `{"name":"n","vrfname":"a-name-that-is-too-long"}`, "vrfname: "),
	Entry("a name that is none", `{"name":"n","vrfname":"a/b"}`, "vrfname: "),
	Entry("a negative table", `{"name":"n","vrfname":"blue","table":-1}`, "table: -1 is not a whole number from 0 to 4294967295"),
	Entry("a large table", `{"name":"n","vrfname":"blue","table":4294967296}`, "table: 4294967296 is not"),
	Entry("a table by name", `{"name":"n","vrfname":"blue","table":"main"}`, "table: the string"),
)

var _ = It("takes the spelling of many an example", func() {
	Expect(Plugin.Lint([]byte(`{"name":"n","vrfName":"blue","table":4294967295}`))).To(Succeed())
})

func FuzzParse(f *testing.F) {
	testrig.FuzzLint(f, Plugin,
		`{"name":"n","vrfname":"blue","table":1001}`,
		`{"vrfname":null,"table":0.5}`)
}
