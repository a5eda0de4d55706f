// SPDX-License-Identifier: Apache-2.0

package hns

import (
	"encoding/json"

	"github.com/containernetworking/cni/pkg/types"
)

const (
	remoteEndpoint = 1 // hcn.EndpointFlagsRemoteEndpoint
	noNamespace    = "00000000-0000-0000-0000-000000000000"
)

// networkV2 is what is read of hcn.HostComputeNetwork.
type networkV2 struct {
	ID, Name, Type string
	Ipams          []struct {
		Subnets []struct {
			IpAddressPrefix string //nolint:revive // the name of the key
			Routes          []routeV2
		}
	}
}

type routeV2 struct {
	NextHop           string `json:",omitempty"`
	DestinationPrefix string `json:",omitempty"`
}

func (n *networkV2) network() Network {
	network := Network{ID: n.ID, Name: n.Name, Type: n.Type}
	for _, ipam := range n.Ipams {
		for _, s := range ipam.Subnets {
			network.Subnets = append(network.Subnets, Subnet{prefix(s.IpAddressPrefix), address(firstHop(s.Routes))})
		}
	}
	return network
}

func firstHop(routes []routeV2) string {
	if len(routes) == 0 {
		return ""
	}
	return routes[0].NextHop
}

// endpointV2 is what is read and written of hcn.HostComputeEndpoint.
type endpointV2 struct {
	ID                   string            `json:"ID,omitempty"`
	Name                 string            `json:",omitempty"`
	HostComputeNetwork   string            `json:",omitempty"`
	HostComputeNamespace string            `json:",omitempty"`
	Policies             []json.RawMessage `json:",omitempty"`
	IPConfigurations     []ipConfigV2      `json:"IpConfigurations,omitempty"`
	DNS                  dnsV2             `json:"Dns,omitzero"`
	Routes               []routeV2         `json:",omitempty"`
	MacAddress           string            `json:",omitempty"`
	Flags                int               `json:",omitempty"`
	SchemaVersion        struct{ Major, Minor int }
}

type ipConfigV2 struct {
	IPAddress string `json:"IpAddress,omitempty"`
}

type dnsV2 struct {
	Domain     string   `json:",omitempty"`
	Search     []string `json:",omitempty"`
	ServerList []string `json:",omitempty"`
	Options    []string `json:",omitempty"`
}

func (e *endpointV2) endpoint() Endpoint {
	endpoint := Endpoint{
		ID:        e.ID,
		Name:      e.Name,
		NetworkID: e.HostComputeNetwork,
		Remote:    e.Flags&remoteEndpoint != 0,
		MAC:       e.MacAddress,
		Gateway:   address(firstHop(e.Routes)),
		DNS:       types.DNS{Nameservers: e.DNS.ServerList, Domain: e.DNS.Domain, Search: e.DNS.Search, Options: e.DNS.Options},
		Policies:  e.Policies,
	}
	if e.HostComputeNamespace != noNamespace {
		endpoint.Namespace = e.HostComputeNamespace
	}
	if len(e.IPConfigurations) > 0 {
		endpoint.IP = address(e.IPConfigurations[0].IPAddress)
	}
	return endpoint
}

func newEndpointV2(e Endpoint) endpointV2 {
	request := endpointV2{
		Name:               e.Name,
		HostComputeNetwork: e.NetworkID,
		Policies:           e.Policies,
		MacAddress:         e.MAC,
		DNS:                dnsV2{Domain: e.DNS.Domain, Search: e.DNS.Search, ServerList: e.DNS.Nameservers, Options: e.DNS.Options},
	}
	request.SchemaVersion.Major = 2
	if e.IP.IsValid() {
		request.IPConfigurations = []ipConfigV2{{e.IP.String()}}
	}
	if e.Gateway.IsValid() {
		request.Routes = []routeV2{{NextHop: e.Gateway.String(), DestinationPrefix: everywhere(e)}}
	}
	return request
}

// everywhere is the destination of a default route.
func everywhere(e Endpoint) string {
	if e.Gateway.Is4() {
		return "0.0.0.0/0"
	}
	return "::/0"
}
