// SPDX-License-Identifier: Apache-2.0

package hns

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Network is a network of the service, by either interface.
type Network struct {
	ID           string
	Name         string
	Type         string // "L2Bridge", "Overlay" ...
	Subnets      []Subnet
	ManagementIP string // address of the host; V1 only
}

// Subnet is one of the subnets of a network. Either field may be missing.
type Subnet struct {
	Prefix  netip.Prefix
	Gateway netip.Addr
}

// SubnetOf returns the subnet that ip is in; failing that, the first one.
func (n *Network) SubnetOf(ip netip.Addr) (Subnet, bool) {
	i := slices.IndexFunc(n.Subnets, func(s Subnet) bool { return s.Prefix.Contains(ip) })
	if i < 0 && len(n.Subnets) == 0 {
		return Subnet{}, false
	}
	return n.Subnets[max(i, 0)], true
}

// Endpoint is an endpoint of the service, by either interface.
type Endpoint struct {
	ID        string
	Name      string
	NetworkID string
	Remote    bool     // it belongs to another host of an overlay
	Namespace string   // that it is in; V2 only
	Sharers   []string // containers that it is attached to; V1 only
	MAC       string
	IP        netip.Addr
	Gateway   netip.Addr
	DNS       types.DNS
	Policies  []json.RawMessage // see Policies
}

// SharedBy tells whether the endpoint is attached to a container (V1).
func (e *Endpoint) SharedBy(container string) bool {
	return slices.ContainsFunc(e.Sharers, func(id string) bool { return SameID(id, container) })
}

// SameID tells whether two identifiers are the same to the service, which does
// not mind their case.
func SameID(a, b string) bool { return strings.EqualFold(a, b) }

// address reads an address, or nothing: the service leaves out what it does not
// know, or says "".
func address(text string) netip.Addr {
	ip, _ := netip.ParseAddr(text)
	return ip.Unmap()
}

func addressText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

func prefix(text string) netip.Prefix {
	p, _ := netip.ParsePrefix(text)
	return p
}
