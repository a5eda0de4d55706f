// SPDX-License-Identifier: Apache-2.0

//go:build linux

package winbridge

import (
	"encoding/json"
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
	Entry("as upstream's documentation has it, with keys in any case", `"ApiVersion":2,"type":"win-bridge","dns":{"Nameservers":["11.0.0.10"],"Search":["svc.cluster.local"]},
		"policies":[{"name":"EndpointPolicy","value":{"Type":"ROUTE","Settings":{"DestinationPrefix":"11.0.0.0/8","NeedEncap":true}}}],
		"loopbackDSR":true,"capabilities":{"dns":true,"portMappings":true},"ipMasqNetwork":"11.0.0.0/8"`, ""),
	Entry("as flannel's plugin writes it", `"type":"win-bridge","ipMasq":true,"ipMasqNetwork":"10.244.0.0/16","ipam":{"type":"host-local","subnet":"10.244.3.0/24"}`, ""),
	Entry("with AdditionalArgs", `"AdditionalArgs":[{"Name":"EndpointPolicy","Value":{"Type":"OutBoundNAT"}}]`, ""),
	Entry("with HcnPolicyArgs", `"apiVersion":2,"HcnPolicyArgs":[{"Type":"SDNRoute","Settings":{}}]`, ""),
	Entry("with arguments of somebody else", `"policies":[{"name":"Other","value":5}]`, ""),
	Entry("for another API", `"apiVersion":3`, "apiVersion: 3 is neither 1 (HNS, for Docker) nor 2"),
	Entry("with a policy that is none", `"policies":[{"name":"endpointpolicy","value":5}]`, "policies[0].value: an endpoint policy is expected"),
	Entry("with a policy that is missing", `"policies":[{"name":"EndpointPolicy","value":null}]`, "policies[0].value: an endpoint policy"),
	Entry("with a policy of no kind", `"AdditionalArgs":[{"name":"EndpointPolicy","value":{"type":""}}]`, "AdditionalArgs[0].value.Type: missing"),
	Entry("with HcnPolicyArgs that are none", `"HcnPolicyArgs":["x"]`, "HcnPolicyArgs[0]: an endpoint policy"),
	Entry("with a network that is none", `"ipMasqNetwork":"10.0.0.0"`, `ipMasqNetwork: "10.0.0.0" is not CIDR notation`),
	Entry("with ports that are none", `"runtimeConfig":{"portMappings":[{"hostPort":1,"containerPort":1,"protocol":"x"}]}`, "runtimeConfig.portMappings[0].protocol"),
	Entry("with a misspelt key", `"loopbackDRS":true`, `did you mean "loopbackDSR"?`),
)

var _ = Describe("ADD", Ordered, func() {
	var ipamPath string
	BeforeAll(func() { ipamPath = testrig.BuildIPAM() })

	// full is a configuration with every key that makes a difference to the endpoint.
	full := func(policy string) map[string]any {
		return map[string]any{
			"policies":       []any{map[string]any{"name": "EndpointPolicy", "value": json.RawMessage(policy)}, map[string]any{"name": "Other", "value": 1}},
			"AdditionalArgs": []any{map[string]any{"Name": "endpointPolicy", "Value": json.RawMessage(policy)}},
			"dns":            map[string]any{"nameservers": []string{"10.0.0.1"}, "search": []string{"a.example"}, "domain": "d.example", "options": []string{"ndots:5"}},
			"runtimeConfig": map[string]any{
				"dns":          map[string]any{"servers": []string{"10.0.0.2", "10.0.0.3"}, "searches": []string{}, "options": []string{"ignored"}},
				"portMappings": []any{map[string]any{"HostPort": 8080, "containerPort": 80, "protocol": "TCP", "hostIP": "192.168.0.1"}},
			},
		}
	}

	It("asks HNS for what the configuration says", func() {
		b := hnstest.NewBench(suite, hns.V1, ipamPath)
		result := b.Add(b.Container("c1"), withoutIPAM(full(`{"Type":"ACL","Action":"Allow"}`)))
		Expect(result.DNS.Nameservers).To(Equal([]string{"10.0.0.2", "10.0.0.3"}))
		Expect(result.DNS.Search).To(Equal([]string{"a.example"}))
		Expect(b.Document(hns.V1, "c1_pods")).To(And(
			ContainSubstring(`"DNSServerList":"10.0.0.2,10.0.0.3"`), ContainSubstring(`"DNSSuffix":"a.example"`),
			ContainSubstring(`"Policies":[{"Action":"Allow","Type":"ACL"},{"Action":"Allow","Type":"ACL"},`+
				`{"ExceptionList":["10.1.0.0/16"],"Type":"OutBoundNAT"},{"ExternalPort":8080,"InternalPort":80,"Protocol":"TCP","Type":"NAT"}]`)))
	})

	It("asks HCN for what the configuration says", func() {
		b := hnstest.NewBench(suite, hns.V2, ipamPath)
		config := withoutIPAM(full(`{"Type":"ACL","Settings":{"Action":"Allow"}}`))
		config["HcnPolicyArgs"] = []any{map[string]any{"Type": "SDNRoute", "Settings": map[string]any{}}}
		result := b.Add(b.Container("c1"), config)
		Expect(result.DNS.Domain).To(Equal("d.example"))
		Expect(result.DNS.Options).To(Equal([]string{"ndots:5"}))
		Expect(b.Document(hns.V2, "c1_pods")).To(And(
			ContainSubstring(`"Dns":{"Domain":"d.example","Search":["a.example"],"ServerList":["10.0.0.2","10.0.0.3"],"Options":["ndots:5"]}`),
			ContainSubstring(`{"Settings":{},"Type":"SDNRoute"},{"Settings":{"Exceptions":["10.1.0.0/16"]},"Type":"OutBoundNAT"},`+
				`{"Settings":{"ExternalPort":8080,"InternalPort":80,"Protocol":6,"VIP":"192.168.0.1"},"Type":"PortMapping"}]`)))
	})

	for _, api := range []hns.API{hns.V1, hns.V2} {
		It("leaves address, gateway and MAC to the service where there is no IPAM plugin, by "+api.String(), func() {
			b := hnstest.NewBench(suite, api, ipamPath)
			c := b.Container("c1")
			result := b.Add(c, withoutIPAM(map[string]any{"cniVersion": "0.2.0"}))
			Expect(result.IPs[0].Address.String()).To(Equal("10.1.2.3/24"))
			Expect(result.IPs[0].Gateway.String()).To(Equal("10.1.2.1"))
			Expect(b.Reservations()).To(BeEmpty())
			result = b.Add(c, withoutIPAM(nil))
			Expect(b.Check(c, result, withoutIPAM(nil))).To(Succeed())
		})

		It("has no loopback for direct server return where Windows has none, by "+api.String(), func() {
			b := hnstest.NewBench(suite, api, ipamPath)
			b.Has.DSR = false
			b.Add(b.Container("c1"), map[string]any{"ipam": assigning("10.1.2.77/24")})
			Expect(b.Document(api, "c1_pods")).NotTo(ContainSubstring("Destinations"))
		})
	}

	It("takes the second address of the subnet for the gateway, whatever the IPAM plugin says", func() {
		b := hnstest.NewBench(suite, hns.V2, ipamPath)
		result := b.Add(b.Container("c1"), map[string]any{"ipam": assigning("10.1.2.77/25")})
		Expect(result.IPs[0].Gateway.String()).To(Equal("10.1.2.2"))
		Expect(result.IPs[0].Address.String()).To(Equal("10.1.2.77/24")) // the mask is the network's
	})

	It("refuses a port of the host that another container has", func() {
		b := hnstest.NewBench(suite, hns.V2, ipamPath)
		b.Add(b.Container("c1"), withoutIPAM(nil))
		_, err := b.CallWith(GinkgoT().Context(), "ADD", b.Container("c2"), b.With(withoutIPAM(nil)))
		Expect(err).To(MatchError(ContainSubstring("create the endpoint c2_pods: HCN_E_PORT_ALREADY_EXISTS: tcp 8080")))
		Expect(b.Names()).To(Equal([]string{"c1_pods"}))
	})

	It("works for many containers at once", func() {
		b := hnstest.NewBench(suite, hns.V2, ipamPath)
		seen := b.AtOnce(20, withoutIPAM(map[string]any{"runtimeConfig": nil}))
		Expect(seen).To(HaveLen(20))
		Expect(b.Names()).To(BeEmpty())
	})
})

// withoutIPAM adds to keys that there is no IPAM plugin.
func withoutIPAM(keys map[string]any) map[string]any {
	if keys == nil {
		keys = map[string]any{}
	}
	keys["ipam"] = nil
	return keys
}

// assigning configures the static plugin.
func assigning(address string) map[string]any {
	return map[string]any{"type": "static", "addresses": []any{map[string]any{"address": address, "gateway": "10.1.2.99"}}}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"policies":[{"name":"EndpointPolicy","value":{}}],"runtimeConfig":{"portMappings":[{}]}}`))
	f.Fuzz(func(_ *testing.T, data []byte) { _ = Plugin.Lint(data) })
}
