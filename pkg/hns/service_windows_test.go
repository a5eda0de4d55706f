// SPDX-License-Identifier: Apache-2.0

package hns_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/Microsoft/hcsshim"
	"github.com/Microsoft/hcsshim/hcn"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/pkg/hns"
)

// strictly decodes a request as hcsshim would, and wants it to know every key.
func strictly(request any, into any) {
	GinkgoHelper()
	data, err := json.Marshal(request)
	Expect(err).NotTo(HaveOccurred())
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	Expect(decoder.Decode(into)).To(Succeed())
}

// hcsshimAnswers is a service that answers with hcsshim's own types.
type hcsshimAnswers struct {
	answering
	network, endpoint any
}

func (h hcsshimAnswers) Networks(hns.API) ([]json.RawMessage, error) { return document(h.network) }

func (h hcsshimAnswers) Endpoints(hns.API) ([]json.RawMessage, error) { return document(h.endpoint) }

func document(object any) ([]json.RawMessage, error) {
	data, err := json.Marshal(object)
	return []json.RawMessage{data}, err
}

var _ = Describe("documents", func() {
	It("of HNS are those of hcsshim", func() {
		wanted := whole("network", hns.NewPolicies(hns.V1, raw(`{"Type":"ACL"}`)))
		var theirs hcsshim.HNSEndpoint
		strictly(hns.Request(hns.V1, wanted), &theirs)
		theirs.Id, theirs.SharedContainers, theirs.IsRemoteEndpoint = "id", []string{"c1"}, true
		wanted.ID, wanted.Sharers, wanted.Remote = "id", []string{"c1"}, true

		network := hcsshim.HNSNetwork{
			Id: "network", Name: "pods", Type: "overlay", ManagementIP: "192.168.7.9",
			Subnets: []hcsshim.Subnet{{AddressPrefix: "10.1.2.0/24", GatewayAddress: "10.1.2.1"}},
		}
		client := hns.Client{Service: hcsshimAnswers{network: network, endpoint: theirs}, API: hns.V1}
		Expect(client.Endpoints()).To(Equal([]hns.Endpoint{wanted}))
		Expect(client.Networks()).To(Equal([]hns.Network{{
			ID: "network", Name: "pods", Type: "overlay", ManagementIP: "192.168.7.9",
			Subnets: []hns.Subnet{{Prefix: netip.MustParsePrefix("10.1.2.0/24"), Gateway: netip.MustParseAddr("10.1.2.1")}},
		}}))
	})

	It("of HCN are those of hcsshim", func() {
		wanted := whole("network", hns.NewPolicies(hns.V2, raw(`{"Type":"ACL","Settings":{"Priority":1}}`)))
		var theirs hcn.HostComputeEndpoint
		strictly(hns.Request(hns.V2, wanted), &theirs)
		Expect(theirs.SchemaVersion).To(Equal(hcn.V2SchemaVersion()))
		theirs.Id, theirs.HostComputeNamespace, theirs.Flags = "id", "namespace", hcn.EndpointFlagsRemoteEndpoint
		wanted.ID, wanted.Namespace, wanted.Remote = "id", "namespace", true

		network := hcn.HostComputeNetwork{
			Id: "network", Name: "pods", Type: hcn.L2Bridge,
			Ipams: []hcn.Ipam{{Subnets: []hcn.Subnet{{
				IpAddressPrefix: "10.1.2.0/24", Routes: []hcn.Route{{NextHop: "10.1.2.1", DestinationPrefix: "0.0.0.0/0"}},
			}}}},
		}
		client := hns.Client{Service: hcsshimAnswers{network: network, endpoint: theirs}, API: hns.V2}
		Expect(client.Endpoints()).To(Equal([]hns.Endpoint{wanted}))
		Expect(client.Networks()).To(Equal([]hns.Network{{
			ID: "network", Name: "pods", Type: "L2Bridge",
			Subnets: []hns.Subnet{{Prefix: netip.MustParsePrefix("10.1.2.0/24"), Gateway: netip.MustParseAddr("10.1.2.1")}},
		}}))
	})

	It("of policies are those of hcsshim", func() {
		policies := hns.NewPolicies(hns.V2, nil)
		policies.AddPortMapping(hns.PortMapping{HostPort: 8080, ContainerPort: 80, Protocol: "tcp", HostIP: "10.0.0.1"})
		policies.AddLoopbackDSR("10.1.2.3")
		policies.AddProviderAddress("10.0.0.1")
		settings := []any{&hcn.PortMappingPolicySetting{}, &hcn.OutboundNatPolicySetting{}, &hcn.ProviderAddressEndpointPolicySetting{}}
		for i, policy := range policies.List() {
			var theirs hcn.EndpointPolicy
			strictly(policy, &theirs)
			strictly(theirs.Settings, settings[i])
		}
		Expect(fmt.Sprint(settings[0])).To(Equal(fmt.Sprint(&hcn.PortMappingPolicySetting{Protocol: 6, InternalPort: 80, ExternalPort: 8080, VIP: "10.0.0.1"})))
	})
})
