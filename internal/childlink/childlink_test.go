// SPDX-License-Identifier: Apache-2.0

//go:build linux

package childlink

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

type config struct{ conf.Common }

var _ = Describe("a kind of links that the kernel does not have", func() {
	const missing = "this kernel has no unheardof links; load the module unheardof (CONFIG_UNHEARDOF): operation not supported"
	var rig *testrig.Rig
	var one *testrig.Container

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root")
		rig = testrig.New(plugin.New(Define(plugin.Definition[config]{Name: "unheardof", Versions: version.All, IPAM: plugin.OptionalIPAM},
			func(*config, conf.EnvArgs) Kind {
				return Kind{Type: "unheardof", Build: func(attrs netlink.LinkAttrs) netlink.Link {
					return &netlink.GenericLink{LinkAttrs: attrs, LinkType: "unheardof"}
				}}
			})), "")
		one = rig.Container("one")
	})

	It("is named by STATUS", func() {
		_, err := rig.Call("STATUS", one, `{"type":"unheardof"}`)
		Expect(err).To(MatchError("unheardof: " + missing))
		Expect(testrig.Code(err)).To(Equal(plugin.ErrNotAvailable))
	})

	It("is named by ADD", func() {
		_, err := rig.Call("ADD", one, `{"type":"unheardof"}`)
		Expect(err).To(MatchError("unheardof: " + missing))
	})
})
