// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sbr

import (
	"fmt"
	"math"
	"net"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/conf"
)

// Config is the configuration of the sbr plugin.
type Config struct {
	conf.Common
	Table          *int     `json:"table"`
	Gateways       []net.IP `json:"gateways"`
	AddSourceHints bool     `json:"addSourceHints"`
}

// Validate implements conf.Validator. With a table, nobody looks at gateways.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	if c.Table != nil {
		if *c.Table < 1 || uint64(*c.Table) > math.MaxUint32 {
			p.Add("table", "%d is outside 1-%d", *c.Table, uint32(math.MaxUint32))
		}
		return
	}
	v4, v6 := 0, 0
	for i, gateway := range c.Gateways {
		switch {
		case gateway == nil:
			p.Add(fmt.Sprintf("gateways[%d]", i), "empty, the address of a gateway is expected")
		case gateway.To4() != nil:
			v4++
		default:
			v6++
		}
	}
	if v4 > 1 {
		p.Add("gateways", "gateways list contains multiple IPv4 addresses, one of each family is possible")
	}
	if v6 > 1 {
		p.Add("gateways", "gateways list contains multiple IPv6 addresses, one of each family is possible")
	}
}

// gatewayOf returns the gateway for packets from ip: the configuration's of its
// family, or else the one that came with it, or nil.
func (c *Config) gatewayOf(ip *current.IPConfig) net.IP {
	for _, gateway := range c.Gateways {
		if isIPv4(gateway) == isIPv4(ip.Address.IP) {
			return gateway
		}
	}
	return ip.Gateway
}

// gatewaysOf returns the gateways for packets from those of ips that are of a family.
func (c *Config) gatewaysOf(ips []*current.IPConfig, v4 bool) (gateways []net.IP) {
	for _, ip := range ips {
		if gateway := c.gatewayOf(ip); gateway != nil && isIPv4(ip.Address.IP) == v4 {
			gateways = append(gateways, gateway)
		}
	}
	return gateways
}

func isIPv4(ip net.IP) bool { return ip.To4() != nil }
