// SPDX-License-Identifier: Apache-2.0

package hns

import (
	"encoding/json"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// networkV1 is what is read of hcsshim.HNSNetwork.
type networkV1 struct {
	ID, Name, Type, ManagementIP string
	Subnets                      []struct{ AddressPrefix, GatewayAddress string }
}

func (n *networkV1) network() Network {
	network := Network{ID: n.ID, Name: n.Name, Type: n.Type, ManagementIP: n.ManagementIP}
	for _, s := range n.Subnets {
		network.Subnets = append(network.Subnets, Subnet{prefix(s.AddressPrefix), address(s.GatewayAddress)})
	}
	return network
}

// endpointV1 is what is read and written of hcsshim.HNSEndpoint.
type endpointV1 struct {
	ID               string            `json:"ID,omitempty"`
	Name             string            `json:",omitempty"`
	VirtualNetwork   string            `json:",omitempty"`
	Policies         []json.RawMessage `json:",omitempty"`
	MacAddress       string            `json:",omitempty"`
	IPAddress        string            `json:",omitempty"`
	DNSSuffix        string            `json:",omitempty"`
	DNSServerList    string            `json:",omitempty"`
	GatewayAddress   string            `json:",omitempty"`
	IsRemoteEndpoint bool              `json:",omitempty"`
	SharedContainers []string          `json:",omitempty"`
}

func (e *endpointV1) endpoint() Endpoint {
	return Endpoint{
		ID:        e.ID,
		Name:      e.Name,
		NetworkID: e.VirtualNetwork,
		Remote:    e.IsRemoteEndpoint,
		Sharers:   e.SharedContainers,
		MAC:       e.MacAddress,
		IP:        address(e.IPAddress),
		Gateway:   address(e.GatewayAddress),
		DNS:       types.DNS{Nameservers: splitList(e.DNSServerList), Search: splitList(e.DNSSuffix)},
		Policies:  e.Policies,
	}
}

func newEndpointV1(e Endpoint) endpointV1 {
	return endpointV1{
		Name:           e.Name,
		VirtualNetwork: e.NetworkID,
		Policies:       e.Policies,
		MacAddress:     e.MAC,
		IPAddress:      addressText(e.IP),
		GatewayAddress: addressText(e.Gateway),
		DNSServerList:  strings.Join(e.DNS.Nameservers, ","),
		DNSSuffix:      strings.Join(e.DNS.Search, ","),
	}
}

// splitList is the inverse of joining with commas: nothing makes no entries.
func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}
