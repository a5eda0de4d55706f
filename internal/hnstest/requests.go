// SPDX-License-Identifier: Apache-2.0

package hnstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/pkg/hns"
)

// requestV1 has the keys of hcsshim.HNSEndpoint that can be asked for.
type requestV1 struct {
	Name, VirtualNetwork, MacAddress    string
	IPAddress, GatewayAddress           string
	DNSSuffix, DNSServerList, DNSDomain string
	Policies                            []json.RawMessage
	EnableInternalDNS, DisableICC       bool
	PrefixLength                        uint8
	IPv6Address, GatewayAddressV6       string
	IPv6PrefixLength                    uint8
	EnableLowMetric, IsRemoteEndpoint   bool
	VirtualNetworkName                  string
	EncapOverhead                       uint16
}

// requestV2 has the keys of hcn.HostComputeEndpoint that can be asked for.
type requestV2 struct {
	Name, HostComputeNetwork, MacAddress string
	Policies                             []json.RawMessage
	IpConfigurations                     []struct { //nolint:revive // the name of the key
		IpAddress    string //nolint:revive // the name of the key
		PrefixLength uint8
	}
	Dns struct { //nolint:revive // the name of the key
		Domain                      string
		Search, ServerList, Options []string
	}
	Routes []struct {
		NextHop, DestinationPrefix string
		Metric                     uint16
	}
	Flags         uint32
	SchemaVersion struct{ Major, Minor int }
}

// read makes an endpoint of a request, or says what the service would refuse.
func read(api hns.API, request json.RawMessage) (*endpoint, error) {
	e, err := readRequest(api, request)
	if err != nil {
		return nil, err
	}
	if e.name == "" || e.network == "" {
		return nil, errors.New("HCN_E_INVALID_ENDPOINT: the name or the network is missing")
	}
	for _, policy := range e.policies {
		if err := checkPolicy(api, policy); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func readRequest(api hns.API, request json.RawMessage) (*endpoint, error) {
	if api == hns.V1 {
		var r requestV1
		err := strictly(request, &r)
		dns := object{"DNSServerList": r.DNSServerList, "DNSSuffix": r.DNSSuffix, "DNSDomain": r.DNSDomain}
		return &endpoint{
			api: api, name: r.Name, network: r.VirtualNetwork, mac: r.MacAddress, ip: r.IPAddress, gateway: r.GatewayAddress,
			remote: r.IsRemoteEndpoint, policies: r.Policies, dns: dns,
		}, err
	}
	var r requestV2
	if err := strictly(request, &r); err != nil {
		return nil, err
	}
	if r.SchemaVersion.Major != 2 {
		return nil, fmt.Errorf("HCN_E_INVALID_JSON: SchemaVersion.Major is %d", r.SchemaVersion.Major)
	}
	e := &endpoint{
		api: api, name: r.Name, network: r.HostComputeNetwork, mac: r.MacAddress, remote: r.Flags&1 != 0, policies: r.Policies,
		dns: object{"Dns": r.Dns},
	}
	if len(r.IpConfigurations) > 0 {
		e.ip = r.IpConfigurations[0].IpAddress
	}
	if len(r.Routes) > 0 {
		e.gateway = r.Routes[0].NextHop
		if e.gateway == "" {
			return nil, errors.New("HCN_E_INVALID_JSON: a route has no NextHop")
		}
	}
	return e, nil
}

// checkPolicy refuses the shape of the other interface: HNS wants flat policies,
// HCN wants Settings.
func checkPolicy(api hns.API, policy json.RawMessage) error {
	var shape map[string]json.RawMessage
	if err := json.Unmarshal(policy, &shape); err != nil || shape["Type"] == nil {
		return fmt.Errorf("HCN_E_INVALID_POLICY: %s", policy)
	}
	_, nested := shape["Settings"]
	if nested != (api == hns.V2) {
		return fmt.Errorf("HCN_E_INVALID_POLICY: %s is not of the form of %s", policy, api)
	}
	return nil
}

// clashing tells whether two endpoints want the same port of the host, and which.
func clashing(a, b *endpoint) (string, bool) {
	theirs := ports(b)
	for _, port := range ports(a) {
		if slices.Contains(theirs, port) {
			return port, true
		}
	}
	return "", false
}

// ports lists the ports of the host that an endpoint has, "tcp 80".
func ports(e *endpoint) []string {
	var all []string
	for _, policy := range e.policies {
		var p struct {
			Type         string
			ExternalPort int
			Protocol     any
			Settings     struct {
				ExternalPort int
				Protocol     any
			}
		}
		if json.Unmarshal(policy, &p) != nil || p.Type != "NAT" && p.Type != "PortMapping" {
			continue
		}
		if p.Type == "PortMapping" {
			p.ExternalPort, p.Protocol = p.Settings.ExternalPort, p.Settings.Protocol
		}
		protocol := strings.NewReplacer("6", "tcp", "17", "udp").Replace(strings.ToLower(fmt.Sprint(p.Protocol)))
		all = append(all, fmt.Sprintf("%s %d", protocol, p.ExternalPort))
	}
	return all
}
