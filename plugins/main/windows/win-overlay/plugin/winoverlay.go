// SPDX-License-Identifier: Apache-2.0

// Package winoverlay is the win-overlay plugin. It connects a Windows container to
// a network of type Overlay, which must exist.
//
// What an attachment owns, and how the commands work, is in internal/hnsendpoint.
package winoverlay

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"github.com/containernetworking/plugins/internal/hnsendpoint"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/hns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the win-overlay plugin.
var Plugin = plugin.New(hnsendpoint.Definition(name, hns.Host(), (*Config).spec))

const name = "win-overlay"

// Config is the configuration of the win-overlay plugin.
type Config struct {
	conf.Common
	hnsendpoint.Settings
	IPMasq            bool   `json:"ipMasq"`
	EndpointMacPrefix string `json:"endpointMacPrefix"`
	IPMasqNetwork     any    `json:"ipMasqNetwork"` // flannel's plugin writes it for win-bridge, too; not used
}

// Default implements conf.Defaulter.
func (c *Config) Default() { c.EndpointMacPrefix = defaultMacPrefix }

const defaultMacPrefix = "0E-2A"

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	c.ValidateSettings(p)
	if ok, _ := regexp.MatchString(`^([0-9A-Fa-f]{2}-[0-9A-Fa-f]{2})?$`, c.EndpointMacPrefix); !ok {
		p.Add("endpointMacPrefix", "%q is not of the form xx-xx, two bytes in hexadecimal such as %s", c.EndpointMacPrefix, defaultMacPrefix)
	}
	if c.IPAM.Type == "" && c.APIVersion != int(hns.V2) {
		p.Add("ipam.type", "missing; name the IPAM plugin that assigns addresses, such as host-local")
	}
}

func (c *Config) spec() hnsendpoint.Spec {
	return hnsendpoint.Spec{
		Settings:     &c.Settings,
		DNS:          c.DNS,
		NetworkTypes: []string{"Overlay"},
		Plan:         c.plan,
	}
}

// plan takes the gateway and the address of the host from the network. HCN does
// not tell the latter, so HNS is asked, which knows the same networks.
func (c *Config) plan(client hns.Client, network hns.Network, address netip.Prefix) (hnsendpoint.Plan, error) {
	if address.IsValid() && !address.Addr().Is4() {
		return hnsendpoint.Plan{}, fmt.Errorf("the IPAM plugin has assigned %s; win-overlay does not support IPv6", address)
	}
	known, err := knownToHNS(client, network)
	if err != nil {
		return hnsendpoint.Plan{}, err
	}
	if len(known.Subnets) == 0 || !known.Subnets[0].Gateway.IsValid() {
		return hnsendpoint.Plan{}, fmt.Errorf("network %q has no subnet with a gateway", network.Name)
	}
	subnet := known.Subnets[0]
	plan := hnsendpoint.Plan{MAC: c.macOf(address.Addr()), Gateway: subnet.Gateway, ProviderAddress: known.ManagementIP}
	if c.IPMasq && subnet.Prefix.IsValid() {
		plan.NATException = subnet.Prefix.String()
	}
	return plan, nil
}

func knownToHNS(client hns.Client, network hns.Network) (hns.Network, error) {
	if client.API == hns.V1 {
		return network, nil
	}
	networks, err := hns.Client{Service: client.Service, API: hns.V1}.Networks()
	if err != nil {
		return hns.Network{}, err
	}
	i := slices.IndexFunc(networks, func(n hns.Network) bool { return hns.SameID(n.ID, network.ID) })
	if i < 0 {
		return hns.Network{}, fmt.Errorf("%s has no network with the ID %s of %q", hns.V1, network.ID, network.Name)
	}
	return networks[i], nil
}

// macOf returns the MAC address that belongs to an address: whoever sends packets
// through the overlay can tell without asking. An address that the service is to
// choose gets a MAC address of its choice, too.
func (c *Config) macOf(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	prefix := c.EndpointMacPrefix
	if prefix == "" {
		prefix = defaultMacPrefix
	}
	b := ip.As4()
	return fmt.Sprintf("%s-%02x-%02x-%02x-%02x", prefix, b[0], b[1], b[2], b[3])
}
