// SPDX-License-Identifier: Apache-2.0

//go:build linux

package winoverlay

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/hnstest"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/hns"
)

var _ = DescribeTable("a configuration", func(config, complaint string) {
	err := Plugin.Lint([]byte(`{"cniVersion":"1.1.0","name":"pods",` + config + `}`))
	if complaint == "" {
		Expect(err).NotTo(HaveOccurred())
		return
	}
	Expect(err).To(MatchError(ContainSubstring(complaint)))
},
	Entry("as upstream's documentation has it", `"type":"win-overlay","ipMasq":true,"endpointMacPrefix":"0E-2A","ipam":{"type":"host-local","subnet":"10.10.10.0/24"},
		"capabilities":{"dns":true},"loopbackDSR":true`, ""),
	Entry("as flannel's plugin writes it", `"type":"win-overlay","ipMasq":true,"ipMasqNetwork":"10.244.0.0/16","ipam":{"type":"host-local","subnet":"10.244.3.0/24"}`, ""),
	Entry("with HCN and no ipam", `"apiVersion":2`, ""),
	Entry("with HNS and no ipam", `"ipMasq":true`, "ipam.type: missing"),
	Entry("with a prefix of three bytes", `"apiVersion":2,"endpointMacPrefix":"0E-2A-00"`, `endpointMacPrefix: "0E-2A-00" is not of the form xx-xx`),
	Entry("with a prefix of no hexadecimal", `"apiVersion":2,"endpointMacPrefix":"zz-2A"`, `endpointMacPrefix: "zz-2A"`),
	Entry("with an empty prefix", `"apiVersion":2,"endpointMacPrefix":""`, ""),
)

var _ = Describe("ADD", Ordered, func() {
	var ipamPath string
	BeforeAll(func() { ipamPath = testrig.BuildIPAM() })

	for api, want := range map[hns.API][]string{
		hns.V1: {
			`"GatewayAddress":"10.1.2.1"`, `{"PA":"192.168.7.9","Type":"PA"}`, `{"ExceptionList":["10.1.2.0/24"],"Type":"OutBoundNAT"}`,
			`{"ExternalPort":8080,"InternalPort":80,"Protocol":"tcp","Type":"NAT"}`, `{"Destinations":["10.1.2.10"],"Type":"OutBoundNAT"}`,
		},
		hns.V2: {
			`"Routes":[{"DestinationPrefix":"0.0.0.0/0","NextHop":"10.1.2.1"}]`, `{"Settings":{"ProviderAddress":"192.168.7.9"},"Type":"ProviderAddress"}`,
			`{"Settings":{"Exceptions":["10.1.2.0/24"]},"Type":"OutBoundNAT"}`,
			`{"Settings":{"ExternalPort":8080,"InternalPort":80,"Protocol":6},"Type":"PortMapping"}`,
			`{"Settings":{"Destinations":["10.1.2.10"]},"Type":"OutBoundNAT"}`,
		},
	} {
		It("asks for MAC, gateway, provider address, exception and ports, by "+api.String(), func() {
			b := hnstest.NewBench(suite, api, ipamPath)
			result := b.Add(b.Container("c1"), map[string]any{"endpointMacPrefix": "0A-58"})
			Expect(result.Interfaces[0].Mac).To(Equal("0A-58-0a-01-02-0a"))
			for _, text := range want {
				Expect(b.Document(api, "c1_pods")).To(ContainSubstring(text))
			}
		})

		It("refuses an IPv6 address and a network without a gateway, by "+api.String(), func() {
			b := hnstest.NewBench(suite, api, ipamPath)
			v6 := map[string]any{"type": "static", "addresses": []any{map[string]any{"address": "fd00::5/64"}}}
			_, err := b.CallWith(GinkgoT().Context(), "ADD", b.Container("c1"), b.With(map[string]any{"ipam": v6}))
			Expect(err).To(MatchError(ContainSubstring("win-overlay does not support IPv6")))
			b.ChangeNetwork("pods", func(n *hnstest.Network) bool { n.Gateway = ""; return true })
			Expect(b.Call("STATUS", hnstest.Container{})).To(MatchError(ContainSubstring(`network "pods" has no subnet with a gateway`)))
			Expect(b.Call("ADD", b.Container("c1"))).NotTo(Succeed())
			Expect(b.Names()).To(BeEmpty())
			Expect(b.Reservations()).To(BeEmpty())
		})

		It("does without masquerading, a provider address and loopback, by "+api.String(), func() {
			bare := suite
			bare.Config, bare.Network.ManagementIP = nil, ""
			b := hnstest.NewBench(bare, api, ipamPath)
			Expect(b.Add(b.Container("c1"), nil).Interfaces[0].Mac).To(Equal("0E-2A-0a-01-02-0a"))
			Expect(b.Document(api, "c1_pods")).To(ContainSubstring(`"Policies":null`))
		})
	}

	It("leaves address and MAC to HCN where there is no IPAM plugin", func() {
		b := hnstest.NewBench(suite, hns.V2, ipamPath)
		result := b.Add(b.Container("c1"), map[string]any{"ipam": nil})
		Expect(result.IPs[0].Address.String()).To(Equal("10.1.2.3/24"))
		Expect(result.Interfaces[0].Mac).To(HavePrefix("00-15-5D-"))
	})

	It("says that the lookup by HNS failed", func() {
		b := hnstest.NewBench(suite, hns.V2, ipamPath)
		for n := 1; n <= 6; n++ {
			b.FailCall(n)
			Expect(b.Call("STATUS", hnstest.Container{})).To(MatchError(ContainSubstring("does not answer")))
			if b.Heal() == 3 { // features, networks by HCN, networks by HNS
				return
			}
		}
		Fail("STATUS does not look at HNS")
	})
})

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"endpointMacPrefix":"0E-2A","runtimeConfig":{"portMappings":[{}]}}`))
	f.Fuzz(func(_ *testing.T, data []byte) { _ = Plugin.Lint(data) })
}
