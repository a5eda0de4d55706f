// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ptp

import (
	"net"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

// routePlan is what makes the two ends of the pair reach each other and the
// container reach everything else through the host.
type routePlan struct {
	gateways  []netlink.Route // of the container
	subnets   []netlink.Route // of the container, through the gateways
	host      []netlink.Route
	hostAddrs []*net.IPNet
}

// planRoutes derives the routes from the answer of the IPAM plugin. The
// container reaches its gateway, which is the host's end, directly, and its own
// subnet through it; the host reaches the container by a route of its own.
func planRoutes(ips []*current.IPConfig) (routePlan, error) {
	var plan routePlan
	for i, ip := range ips {
		if ip.Gateway == nil {
			return plan, plugin.Errorf(types.ErrInvalidNetworkConfig,
				"ips[%d]: the IPAM plugin gave %s no gateway, and the host's end of the pair needs an address; configure one",
				i, ip.Address.String())
		}
		if (ip.Gateway.To4() == nil) != (ip.Address.IP.To4() == nil) {
			return plan, plugin.Errorf(types.ErrInvalidNetworkConfig,
				"ips[%d].gateway: %s is not of the family of %s, which is to be reached through it", i, ip.Gateway, ip.Address.String())
		}
		if ip.Gateway.Equal(ip.Address.IP) {
			return plan, plugin.Errorf(types.ErrInvalidNetworkConfig,
				"ips[%d].gateway: %s is the container's own address, and the host's end of the pair needs it; give them two", i, ip.Gateway)
		}
		plan.add(ip)
	}
	return plan, nil
}

func (p *routePlan) add(ip *current.IPConfig) {
	address, gateway := subnet.Single(ip.Address.IP), subnet.Single(ip.Gateway)
	network := subnet.Of(&ip.Address)
	if !hasDestination(p.gateways, gateway) {
		p.gateways = append(p.gateways, netlink.Route{Dst: gateway, Src: ip.Address.IP, Scope: netlink.SCOPE_LINK})
		p.hostAddrs = append(p.hostAddrs, gateway)
	}
	// An address that is its whole subnet has nobody else in it to reach.
	if network.String() != address.String() && !hasDestination(p.subnets, network) {
		p.subnets = append(p.subnets, netlink.Route{Dst: network, Gw: ip.Gateway, Src: ip.Address.IP, Scope: netlink.SCOPE_UNIVERSE})
	}
	p.host = append(p.host, netlink.Route{Dst: address, Scope: netlink.SCOPE_HOST})
}

func hasDestination(routes []netlink.Route, dst *net.IPNet) bool {
	for _, route := range routes {
		if route.Dst.String() == dst.String() {
			return true
		}
	}
	return false
}
