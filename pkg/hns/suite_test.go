// SPDX-License-Identifier: Apache-2.0

package hns_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/hnstest"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/hns"
)

func TestHNS(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "pkg/hns")
}

// texts returns policies as JSON texts.
func texts(policies []json.RawMessage) []string {
	all := []string{}
	for _, policy := range policies {
		all = append(all, string(policy))
	}
	return all
}

func raw(texts ...string) []json.RawMessage {
	var all []json.RawMessage
	for _, text := range texts {
		all = append(all, json.RawMessage(text))
	}
	return all
}

var _ = Describe("policies", func() {
	DescribeTable("are made in the form of the interface",
		func(add func(*hns.Policies), v1, v2 string) {
			for api, want := range map[hns.API]string{hns.V1: v1, hns.V2: v2} {
				policies := hns.NewPolicies(api, nil)
				add(policies)
				if want == "" {
					Expect(policies.List()).To(BeEmpty())
					continue
				}
				Expect(policies.List()).To(HaveLen(1))
				Expect(policies.List()[0]).To(MatchJSON(want))
				Expect(hns.MissingPolicies(api, policies.List(), nil)).To(HaveLen(1))
				Expect(hns.MissingPolicies(api, policies.List(), policies.List())).To(BeEmpty())
			}
		},
		Entry("loopback DSR", func(p *hns.Policies) { p.AddLoopbackDSR("10.1.2.3") },
			`{"Type":"OutBoundNAT","Destinations":["10.1.2.3"]}`, `{"Type":"OutBoundNAT","Settings":{"Destinations":["10.1.2.3"]}}`),
		Entry("exception from NAT", func(p *hns.Policies) { p.AddNATException("10.1.0.0/16") },
			`{"Type":"OutBoundNAT","ExceptionList":["10.1.0.0/16"]}`, `{"Type":"OutBoundNAT","Settings":{"Exceptions":["10.1.0.0/16"]}}`),
		Entry("provider address", func(p *hns.Policies) { p.AddProviderAddress("10.9.9.9") },
			`{"Type":"PA","PA":"10.9.9.9"}`, `{"Type":"ProviderAddress","Settings":{"ProviderAddress":"10.9.9.9"}}`),
		Entry("port mapping", func(p *hns.Policies) {
			p.AddPortMapping(hns.PortMapping{HostPort: 8080, ContainerPort: 80, Protocol: "TCP", HostIP: "192.168.0.1"})
		},
			`{"Type":"NAT","InternalPort":80,"ExternalPort":8080,"Protocol":"TCP"}`,
			`{"Type":"PortMapping","Settings":{"InternalPort":80,"ExternalPort":8080,"Protocol":6,"VIP":"192.168.0.1"}}`),
		Entry("nothing", func(p *hns.Policies) {
			p.AddLoopbackDSR("")
			p.AddNATException("")
			p.AddProviderAddress("")
		}, "", ""),
	)

	for api, own := range map[hns.API][]json.RawMessage{
		hns.V1: raw(`{"Type":"OutBoundNAT","ExceptionList":["10.0.0.0/8","10.1.0.0/16"]}`, `{"Type":"PA","PA":"1.1.1.1"}`, `{"Type":"OutBoundNAT"}`, `[]`, `7`),
		hns.V2: raw(`{"Type":"OutBoundNAT","Settings":{"Exceptions":["10.0.0.0/8","10.1.0.0/16"]}}`, `{"Type":"ProviderAddress","Settings":{"ProviderAddress":"1.1.1.1"}}`,
			`{"Type":"OutBoundNAT"}`, `{"Type":"OutBoundNAT","Settings":[]}`, `{"Type":7}`),
	} {
		It("say nothing twice and are never merged into the user's own, by "+api.String(), func() {
			policies := hns.NewPolicies(api, own)
			policies.AddNATException("10.1.0.0/16")
			policies.AddProviderAddress("1.1.1.1")
			Expect(texts(policies.List())).To(Equal(texts(own)))
			policies.AddNATException("10.2.0.0/16")
			policies.AddNATException("10.3.0.0/16")
			policies.AddNATException("10.3.0.0/16")
			policies.AddProviderAddress("2.2.2.2")
			policies.AddLoopbackDSR("10.1.2.3")
			policies.AddLoopbackDSR("10.1.2.4")
			policies.AddLoopbackDSR("10.1.2.4")
			Expect(policies.List()).To(HaveLen(len(own) + 5))
			Expect(texts(policies.List()[:len(own)])).To(Equal(texts(own)))
		})
	}

	It("are missed whatever form the service gave the others", func() {
		wanted := hns.NewPolicies(hns.V2, nil)
		wanted.AddPortMapping(hns.PortMapping{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"})
		wanted.AddPortMapping(hns.PortMapping{HostPort: 53, ContainerPort: 53, Protocol: "udp"})
		found := raw(`{"Type":"PortMapping","Settings":{"ExternalPort":8080,"Flags":0,"InternalPort":80,"Protocol":6,"VIP":""}}`, `{"Type":"ACL"}`)
		Expect(hns.MissingPolicies(hns.V2, wanted.List(), found)).To(Equal([]string{"the mapping of port 53 to 53 of protocol 17"}))
	})
})

var _ = DescribeTable("a port mapping", func(m hns.PortMapping, complaint string) {
	var problems conf.Problems
	m.Validate(&problems, "p")
	if complaint == "" {
		Expect(problems.Err()).To(Succeed())
	} else {
		Expect(problems.Err()).To(MatchError(ContainSubstring(complaint)))
	}
},
	Entry("tcp", hns.PortMapping{HostPort: 1, ContainerPort: 2, Protocol: "tcp"}, ""),
	Entry("of any case", hns.PortMapping{HostPort: 1, ContainerPort: 2, Protocol: "ICMPv6"}, ""),
	Entry("by number", hns.PortMapping{HostPort: 1, ContainerPort: 2, Protocol: "0x11"}, ""),
	Entry("to a port that the service chooses", hns.PortMapping{ContainerPort: 2, Protocol: "udp"}, ""),
	Entry("sctp", hns.PortMapping{HostPort: 1, ContainerPort: 2, Protocol: "sctp"}, `p.protocol: "sctp" is neither tcp, udp`),
	Entry("a number of more than 8 bits", hns.PortMapping{HostPort: 1, ContainerPort: 2, Protocol: "1023"}, "p.protocol"),
	Entry("protocol 0", hns.PortMapping{HostPort: 1, ContainerPort: 2, Protocol: "0"}, "p.protocol"),
	Entry("no protocol", hns.PortMapping{HostPort: 1, ContainerPort: 2}, "p.protocol"),
	Entry("ports", hns.PortMapping{HostPort: 65536, Protocol: "tcp"}, "p.hostPort: 65536 is outside 0-65535; p.containerPort: 0 is outside 1-65535"),
	Entry("host", hns.PortMapping{HostPort: 1, ContainerPort: 2, Protocol: "tcp", HostIP: "all"}, "p.hostIP"),
)

var _ = DescribeTable("CNI_NETNS", func(netns string, want hns.Sandbox, v1, v2 string) {
	sandbox := hns.SandboxOf(netns, "c1")
	Expect(sandbox.ID).To(Equal(want.ID))
	Expect(sandbox.Shared).To(Equal(want.Shared))
	for api, target := range map[hns.API]string{hns.V1: v1, hns.V2: v2} {
		got, err := sandbox.Target(api, "c1")
		if complaint, wrong := strings.CutPrefix(target, "!"); wrong {
			Expect(err).To(MatchError(ContainSubstring(complaint)))
		} else {
			Expect(err).NotTo(HaveOccurred())
			Expect(got).To(Equal(target))
		}
	}
},
	Entry("a pod", "none", hns.Sandbox{ID: "c1"}, "c1", "!not the GUID"),
	Entry("another container of it", "container:pod", hns.Sandbox{ID: "pod", Shared: true}, "c1", "!not the GUID"),
	Entry("a namespace", "12345678-ABCD-4234-8234-123456789abc", hns.Sandbox{ID: "c1"},
		`!the configuration has no "apiVersion": 2`, "12345678-ABCD-4234-8234-123456789abc"),
	Entry("nonsense", "/run/netns/x", hns.Sandbox{ID: "c1"}, `!neither "none"`, "!not the GUID"),
)

var _ = Describe("names", func() {
	It("are sandbox and network", func() {
		Expect(hns.EndpointName("c1", "a_b")).To(Equal("c1_a_b"))
		id, ok := hns.SandboxIn("c1_a_b", "a_b")
		Expect(id).To(Equal("c1"))
		Expect(ok).To(BeTrue())
		for _, other := range []string{"_a_b", "c1_a", "", "a_b"} {
			_, ok = hns.SandboxIn(other, "a_b")
			Expect(ok).To(BeFalse(), other)
		}
	})
})

// whole is an endpoint with everything that a request can say.
func whole(network string, policies *hns.Policies) hns.Endpoint {
	return hns.Endpoint{
		Name: "c1_pods", NetworkID: network, MAC: "0E-2A-0a-01-02-0a",
		IP: netip.MustParseAddr("10.1.2.10"), Gateway: netip.MustParseAddr("10.1.2.2"),
		DNS:      types.DNS{Nameservers: []string{"10.0.0.1", "10.0.0.2"}, Search: []string{"a.example", "b.example"}},
		Policies: policies.List(),
	}
}

var _ = Describe("an endpoint", func() {
	for _, api := range []hns.API{hns.V1, hns.V2} {
		It("goes to the service and comes back, by "+api.String(), func() {
			client := hns.Client{Service: hnstest.NewFake(hnstest.Network{Name: "pods", Type: "L2Bridge", Subnet: "10.1.2.0/24", Gateway: "10.1.2.1"}), API: api}
			networks, err := client.Networks()
			Expect(err).NotTo(HaveOccurred())
			Expect(networks[0].Subnets).To(Equal([]hns.Subnet{{Prefix: netip.MustParsePrefix("10.1.2.0/24"), Gateway: netip.MustParseAddr("10.1.2.1")}}))
			policies := hns.NewPolicies(api, nil)
			policies.AddNATException("10.0.0.0/8")
			wanted := whole(networks[0].ID, policies)
			created, err := client.Create(wanted)
			Expect(err).NotTo(HaveOccurred())
			Expect(hns.SameID(created.NetworkID, wanted.NetworkID)).To(BeTrue())
			Expect(created.ID).NotTo(BeEmpty())
			wanted.ID, wanted.NetworkID = created.ID, created.NetworkID
			Expect(created.Policies).To(HaveLen(1))
			Expect(created.Policies[0]).To(MatchJSON(wanted.Policies[0]))
			created.Policies = wanted.Policies
			Expect(created).To(Equal(wanted))
			all, err := client.Endpoints()
			Expect(err).NotTo(HaveOccurred())
			Expect(all).To(HaveLen(1))
			Expect(client.Delete(created)).To(Succeed())
			Expect(client.Delete(created)).To(Succeed())
			Expect(client.Detach(created, "c1")).To(Succeed())
			Expect(client.Attach(created, "c1")).To(MatchError(hns.ErrNotFound))
		})
	}

	It("is sent as HNS and HCN want it", func() {
		Expect(json.Marshal(hns.Request(hns.V1, whole("N", hns.NewPolicies(hns.V1, raw(`{"Type":"ACL"}`)))))).To(MatchJSON(`{
			"Name":"c1_pods","VirtualNetwork":"N","MacAddress":"0E-2A-0a-01-02-0a","IPAddress":"10.1.2.10","GatewayAddress":"10.1.2.2",
			"DNSServerList":"10.0.0.1,10.0.0.2","DNSSuffix":"a.example,b.example","Policies":[{"Type":"ACL"}]}`))
		Expect(json.Marshal(hns.Request(hns.V2, whole("N", hns.NewPolicies(hns.V2, raw(`{"Type":"ACL","Settings":{}}`)))))).To(MatchJSON(`{
			"Name":"c1_pods","HostComputeNetwork":"N","MacAddress":"0E-2A-0a-01-02-0a","IpConfigurations":[{"IpAddress":"10.1.2.10"}],
			"Routes":[{"NextHop":"10.1.2.2","DestinationPrefix":"0.0.0.0/0"}],
			"Dns":{"ServerList":["10.0.0.1","10.0.0.2"],"Search":["a.example","b.example"]},
			"Policies":[{"Type":"ACL","Settings":{}}],"SchemaVersion":{"Major":2,"Minor":0}}`))
	})

	It("leaves out what the service is to choose", func() {
		Expect(json.Marshal(hns.Request(hns.V1, hns.Endpoint{Name: "n", NetworkID: "N"}))).To(MatchJSON(`{"Name":"n","VirtualNetwork":"N"}`))
		Expect(json.Marshal(hns.Request(hns.V2, hns.Endpoint{Name: "n", NetworkID: "N"}))).To(
			MatchJSON(`{"Name":"n","HostComputeNetwork":"N","SchemaVersion":{"Major":2,"Minor":0}}`))
	})

	It("with an IPv6 gateway has an IPv6 default route", func() {
		request, err := json.Marshal(hns.Request(hns.V2, hns.Endpoint{Gateway: netip.MustParseAddr("fd00::2")}))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(request)).To(ContainSubstring(`{"NextHop":"fd00::2","DestinationPrefix":"::/0"}`))
	})
})

var _ = Describe("the machine's own service", func() {
	It("says what is missing where there is none", func() {
		if hns.Host() == nil {
			Fail("there is no service")
		}
		client := hns.Client{Service: hns.Host(), API: hns.V2}
		_, err := client.Networks()
		Expect(err).To(MatchError(Or(ContainSubstring("part of Windows"), ContainSubstring(`the Windows feature "Containers"`))))
	})
})

// FuzzAnswers wants no answer of the service to end in a panic.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{`{}`, `null`, `{"Ipams":[null,{"Subnets":[{"Routes":[]}]}]}`, `{"IpConfigurations":[{}],"Routes":[null]}`, `{"Subnets":[{"AddressPrefix":"x"}],"Policies":[null]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, document []byte) {
		for _, api := range []hns.API{hns.V1, hns.V2} {
			client := hns.Client{Service: answering{document}, API: api}
			_, _ = client.Networks()
			endpoints, _ := client.Endpoints()
			for _, e := range endpoints {
				hns.MissingPolicies(api, e.Policies, nil)
			}
		}
	})
}

// answering answers every question with one document.
type answering struct{ document []byte }

func (a answering) Networks(hns.API) ([]json.RawMessage, error) {
	return []json.RawMessage{a.document}, nil
}
func (a answering) Endpoints(hns.API) ([]json.RawMessage, error) {
	return []json.RawMessage{a.document}, nil
}
func (a answering) Features() (hns.Features, error) { return hns.Features{}, nil }
func (a answering) CreateEndpoint(hns.API, json.RawMessage) (json.RawMessage, error) {
	return a.document, nil
}
func (answering) DeleteEndpoint(hns.API, string) error { return nil }
func (answering) Attach(hns.API, string, string) error { return nil }
func (answering) Detach(hns.API, string, string) error { return nil }
func (answering) Unshare(string, string) error         { return nil }
