// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"net/netip"
	"slices"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// plan returns the ports of the host that lead to the attachment. Without
// mappings, or an address for any of them, there are none.
func plan(req *plugin.Request, c *Config) netfilter.HostPorts {
	ports := netfilter.HostPorts{
		SNAT: c.SNAT, MasqAll: c.SNAT && c.MasqAll,
		ConditionsV4: c.ConditionsV4, ConditionsV6: c.ConditionsV6,
		MarkBit: defaultMarkBit,
	}
	if c.MarkMasqBit != nil {
		ports.MarkBit = uint8(*c.MarkMasqBit)
	}
	if c.ExternalSetMarkChain != nil {
		ports.ExternalSetMarkChain = *c.ExternalSetMarkChain
	}
	addresses := containerAddresses(req)
	for _, configured := range c.RuntimeConfig.PortMappings {
		m := configured.mapping()
		applies := slices.ContainsFunc(addresses, func(to netip.Prefix) bool { return m.Applies(to.Addr()) })
		if applies && !slices.Contains(ports.Mappings, m) {
			ports.Mappings = append(ports.Mappings, m)
		}
	}
	for _, address := range addresses {
		if slices.ContainsFunc(ports.Mappings, func(m netfilter.PortMapping) bool { return m.Applies(address.Addr()) }) {
			ports.Containers = append(ports.Containers, address)
		}
	}
	return ports
}

// containerAddresses returns the first address of each family that prevResult
// has for the container's interface, or for none in particular.
func containerAddresses(req *plugin.Request) []netip.Prefix {
	if req.Prev == nil {
		return nil
	}
	var addresses []netip.Prefix
	for _, ip := range req.Prev.IPs {
		if !isContainers(req, ip) {
			continue
		}
		prefix, ok := prefixOf(ip)
		taken := slices.ContainsFunc(addresses, func(other netip.Prefix) bool { return other.Addr().Is4() == prefix.Addr().Is4() })
		if ok && !taken {
			addresses = append(addresses, prefix)
		}
	}
	return addresses
}

func isContainers(req *plugin.Request, ip *current.IPConfig) bool {
	if ip.Interface == nil {
		return true
	}
	iface := req.Prev.Interfaces[*ip.Interface]
	return iface.Name == req.IfName && iface.Sandbox != ""
}

func prefixOf(ip *current.IPConfig) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(ip.Address.IP)
	addr = addr.Unmap()
	ones, bits := ip.Address.Mask.Size()
	return netip.PrefixFrom(addr, ones-bits+addr.BitLen()), ok && bits > 0
}
