// SPDX-License-Identifier: Apache-2.0

// Package winbridge is the win-bridge plugin. It connects a Windows container to
// a network of type L2Bridge or L2Tunnel, which must exist.
//
// What an attachment owns, and how the commands work, is in internal/hnsendpoint.
package winbridge

import (
	"net/netip"

	"github.com/containernetworking/plugins/internal/hnsendpoint"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/hns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the win-bridge plugin.
var Plugin = plugin.New(hnsendpoint.Definition(name, hns.Host(), (*Config).spec))

const name = "win-bridge"

// Config is the configuration of the win-bridge plugin.
type Config struct {
	conf.Common
	hnsendpoint.Settings
	IPMasqNetwork string `json:"ipMasqNetwork"`
	IPMasq        any    `json:"ipMasq"` // flannel's plugin writes it for win-overlay, too; not used
}

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	c.ValidateSettings(p)
	if _, err := netip.ParsePrefix(c.IPMasqNetwork); c.IPMasqNetwork != "" && err != nil {
		p.Add("ipMasqNetwork", "%q is not CIDR notation such as 10.244.0.0/16", c.IPMasqNetwork)
	}
}

func (c *Config) spec() hnsendpoint.Spec {
	return hnsendpoint.Spec{
		Settings:     &c.Settings,
		DNS:          c.DNS,
		NetworkTypes: []string{"L2Bridge", "L2Tunnel"},
		Plan:         c.plan,
	}
}

func (c *Config) plan(_ hns.Client, _ hns.Network, address netip.Prefix) (hnsendpoint.Plan, error) {
	plan := hnsendpoint.Plan{NATException: c.IPMasqNetwork}
	if address.IsValid() {
		plan.Gateway = gatewayOf(address)
	}
	return plan, nil
}

// gatewayOf returns the second address of a subnet. By convention that is where the
// host has its endpoint in an L2Bridge, whatever the IPAM plugin calls the gateway.
func gatewayOf(address netip.Prefix) netip.Addr {
	return address.Masked().Addr().Next().Next()
}
