// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

// gatewayPlan is what the device of the host has to have that is the containers'
// gateway.
type gatewayPlan struct {
	addresses []*net.IPNet // the gateways', with the subnets of the containers' addresses
	subnets   []*net.IPNet // to which none of these leads: those with a link-local gateway
}

// planGateways completes the answer of the IPAM plugin and returns what the
// gateway device has to have. An address without a gateway gets the
// first one of its subnet when the bridge is the gateway; a default route is
// added for each family that has none when it is the default gateway.
func planGateways(c *Config, result *current.Result) (gatewayPlan, error) {
	if !c.IsGateway {
		return gatewayPlan{}, nil
	}
	for i, addr := range result.IPs {
		if addr.Gateway == nil {
			addr.Gateway = subnet.Next(addr.Address.IP.Mask(addr.Address.Mask))
		}
		if isIPv4(addr.Gateway) != isIPv4(addr.Address.IP) {
			return gatewayPlan{}, plugin.Errorf(types.ErrInvalidNetworkConfig,
				"ips[%d].gateway: %s is not of the family of %s, whose subnet it would have on the bridge", i, addr.Gateway, addr.Address.String())
		}
		if addr.Gateway.Equal(addr.Address.IP) {
			return gatewayPlan{}, plugin.Errorf(types.ErrInvalidNetworkConfig,
				"ips[%d].gateway: %s is the container's own address, and the bridge needs it as the gateway; give them two", i, addr.Gateway)
		}
		if c.IsDefaultGateway {
			addDefaultRoute(result, addr.Gateway)
		}
	}
	return gatewaysOf(result.IPs), nil
}

// gatewaysOf returns what the gateway device has to have for the container's
// addresses.
func gatewaysOf(ips []*current.IPConfig) gatewayPlan {
	var plan gatewayPlan
	for _, addr := range ips {
		if addr.Gateway == nil {
			continue
		}
		plan.addresses = addGateway(plan.addresses, &net.IPNet{IP: addr.Gateway, Mask: addr.Address.Mask})
		if addr.Gateway.IsLinkLocalUnicast() && !addr.Address.Contains(addr.Gateway) {
			plan.subnets = append(plan.subnets, &net.IPNet{IP: addr.Address.IP.Mask(addr.Address.Mask), Mask: addr.Address.Mask})
		}
	}
	return plan
}

// addGateway adds an address to gateways that is not among them. The kernel has
// one of IPv6 on a device once, whatever the length of its prefix: the larger of
// the subnets it is.
func addGateway(gateways []*net.IPNet, gateway *net.IPNet) []*net.IPNet {
	for i, other := range gateways {
		if !other.IP.Equal(gateway.IP) || isIPv4(gateway.IP) && other.String() != gateway.String() {
			continue
		}
		if slices.Compare(gateway.Mask, other.Mask) < 0 {
			gateways[i] = gateway
		}
		return gateways
	}
	return append(gateways, gateway)
}

// addDefaultRoute adds a default route via gateway, unless the family has a
// default route. One that names no gateway will go through the address's own.
func addDefaultRoute(result *current.Result, gateway net.IP) {
	for _, route := range result.Routes {
		if subnet.IsEverything(&route.Dst) && isIPv4(route.Dst.IP) == isIPv4(gateway) && route.Table == nil {
			return
		}
	}
	result.Routes = append(result.Routes, &types.Route{Dst: *subnet.Everything(gateway), GW: gateway})
}

// conflicts tells whether a device that is to have the address want cannot keep
// the address have. One IPv4 subnet is all a gateway has by itself, so any
// other IPv4 address is in the way; of IPv6 there may be several, if they do
// not overlap, and any number of link-local ones, such as the kernel's own.
func conflicts(have, want *net.IPNet) bool {
	if isIPv4(have.IP) != isIPv4(want.IP) || have.String() == want.String() {
		return false
	}
	if isIPv4(want.IP) {
		return true
	}
	if have.IP.IsLinkLocalUnicast() && !have.IP.Equal(want.IP) {
		return false
	}
	return have.Contains(want.IP) || want.Contains(have.IP)
}

// obstacles returns the addresses in have that a device with the addresses in
// wanted cannot keep, and one that the first of them conflicts with.
func obstacles(have, wanted []*net.IPNet) (inTheWay []*net.IPNet, by *net.IPNet) {
	for _, address := range have {
		i := slices.IndexFunc(wanted, func(want *net.IPNet) bool { return conflicts(address, want) })
		if i < 0 || contains(wanted, address) {
			continue
		}
		if by == nil {
			by = wanted[i]
		}
		inTheWay = append(inTheWay, address)
	}
	return inTheWay, by
}

// sorted are the addresses that a device has, and those that it should have.
type sorted struct {
	have      []*net.IPNet // but for those in failed
	failed    []*net.IPNet // wanted ones that somebody else had when they were added
	missing   []*net.IPNet // wanted ones that are not in have
	unsettled []*net.IPNet // wanted ones that somebody else may turn out to have
}

// sortAddresses sorts the addresses of a device that is to have the ones in wanted.
// One for which duplicate address detection has failed is as good as missing: the
// kernel does not use it, nor does it ever try again.
func sortAddresses(addresses []netlink.Addr, wanted []*net.IPNet) (s sorted) {
	var settled []*net.IPNet
	for _, address := range addresses {
		if address.Flags&unix.IFA_F_DADFAILED != 0 && contains(wanted, address.IPNet) {
			s.failed = append(s.failed, address.IPNet)
			continue
		}
		s.have = append(s.have, address.IPNet)
		if address.Flags&unix.IFA_F_TENTATIVE == 0 {
			settled = append(settled, address.IPNet)
		}
	}
	for _, want := range wanted {
		if !contains(s.have, want) {
			s.missing = append(s.missing, want)
		}
		if !contains(settled, want) && !isIPv4(want.IP) {
			s.unsettled = append(s.unsettled, want)
		}
	}
	return s
}

func contains(list []*net.IPNet, addr *net.IPNet) bool {
	for _, other := range list {
		if other.String() == addr.String() {
			return true
		}
	}
	return false
}

func isIPv4(addr net.IP) bool { return addr.To4() != nil }
