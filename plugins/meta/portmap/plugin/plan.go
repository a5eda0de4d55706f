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
	addresses := targets(containerAddresses(req))
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

// targets picks the address of each family that ports lead to: the first. One of
// IPv4 that is link-local comes after the others. One of IPv6 is none: the kernel
// looks for the way to it on the link that a packet has come in by, be it another
// host's or the host's own, and that is not the container's.
func targets(addresses []netip.Prefix) []netip.Prefix {
	first := func(suits func(netip.Addr) bool) []netip.Prefix {
		i := slices.IndexFunc(addresses, func(p netip.Prefix) bool { return suits(p.Addr()) })
		if i < 0 {
			return nil
		}
		return addresses[i : i+1]
	}
	v4 := first(func(a netip.Addr) bool { return a.Is4() && !a.IsLinkLocalUnicast() })
	if v4 == nil {
		v4 = first(netip.Addr.Is4)
	}
	return slices.Concat(v4, first(func(a netip.Addr) bool { return a.Is6() && !a.IsLinkLocalUnicast() }))
}

// containerAddresses returns the addresses that prevResult has for the container's
// interface, or for none in particular. Upstream's rules, and those of older
// versions, may lead to any of them.
func containerAddresses(req *plugin.Request) []netip.Prefix {
	if req.Prev == nil {
		return nil
	}
	var addresses []netip.Prefix
	for _, ip := range req.Prev.IPs {
		if prefix, ok := prefixOf(ip); ok && isContainers(req, ip) {
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
