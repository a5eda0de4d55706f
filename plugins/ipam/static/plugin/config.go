// SPDX-License-Identifier: Apache-2.0

package static

import (
	"fmt"
	"net"
	"reflect"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/conf"
)

// Config is what static reads of the configuration of its caller.
type Config struct {
	conf.Common
	IPAM IPAMConfig `json:"ipam"`
	Args struct {
		CNI struct {
			IPs []string `json:"ips"`
		} `json:"cni"`
	} `json:"args"`
	RuntimeConfig struct {
		IPs []string `json:"ips"`
	} `json:"runtimeConfig"`

	assigned []address
}

// IPAMConfig is the "ipam" object.
type IPAMConfig struct {
	conf.Presence
	Type      string          `json:"type"`
	Name      any             `json:"name"` // found in old configurations, not used
	Addresses []AddressConfig `json:"addresses"`
	Routes    []*types.Route  `json:"routes"`
	DNS       types.DNS       `json:"dns"`
}

// AddressConfig is an address to assign.
type AddressConfig struct {
	Address string `json:"address"` // in CIDR notation
	Gateway net.IP `json:"gateway"`
	Version any    `json:"version"` // found in old configurations, not used
}

// address is an AddressConfig, parsed.
type address struct {
	network net.IPNet // with its host bits
	gateway net.IP    // or nil
}

// Validate implements conf.Validator. It also works out which addresses are
// assigned.
func (c *Config) Validate(p *conf.Problems, args conf.EnvArgs) {
	if p.Len() == 0 && reflect.ValueOf(c.IPAM).IsZero() {
		p.Add("ipam", "IPAM config missing 'ipam' key")
		return
	}
	fromArgs := parseEnvArgs(p, args)
	switch {
	case len(c.RuntimeConfig.IPs) > 0:
		c.assigned = parseIPs(p, "runtimeConfig.ips", c.RuntimeConfig.IPs)
	case len(c.Args.CNI.IPs) > 0:
		c.assigned = parseIPs(p, "args.cni.ips", c.Args.CNI.IPs)
	default:
		c.assigned = append(parseAddresses(p, c.IPAM.Addresses), fromArgs...)
	}
	c.limitFamilies(p)
}

func parseAddresses(p *conf.Problems, configs []AddressConfig) []address {
	var addresses []address
	for i, config := range configs {
		network, ok := parseCIDR(config.Address)
		if !ok {
			p.Add(fmt.Sprintf("ipam.addresses[%d].address", i), "the 'address' field is expected to be in CIDR notation, got: '%s'", config.Address)
			continue
		}
		if assignable(p, fmt.Sprintf("ipam.addresses[%d].address", i), network) {
			addresses = append(addresses, address{network, config.Gateway})
		}
	}
	return addresses
}

func parseIPs(p *conf.Problems, path string, texts []string) []address {
	var addresses []address
	for i, text := range texts {
		network, ok := parseCIDR(text)
		if !ok {
			p.Add(fmt.Sprintf("%s[%d]", path, i), "an entry in the 'ips' field is NOT in CIDR notation, got: '%s'", text)
			continue
		}
		if assignable(p, fmt.Sprintf("%s[%d]", path, i), network) {
			addresses = append(addresses, address{network: network})
		}
	}
	return addresses
}

// parseEnvArgs parses the lists IP and GATEWAY. A gateway belongs to every
// address whose subnet it is in.
func parseEnvArgs(p *conf.Problems, args conf.EnvArgs) []address {
	var addresses []address
	for _, text := range splitList(args["IP"]) {
		network, ok := parseCIDR(text)
		if !ok {
			p.Add(args.Path("IP"), "the 'ip' field is expected to be in CIDR notation, got: '%s'", text)
			continue
		}
		if assignable(p, args.Path("IP"), network) {
			addresses = append(addresses, address{network: network})
		}
	}
	for _, text := range splitList(args["GATEWAY"]) {
		gateway := net.ParseIP(text)
		if gateway == nil {
			p.Add(args.Path("GATEWAY"), "invalid gateway address: %s", text)
			continue
		}
		setGateway(addresses, gateway)
	}
	return addresses
}

func setGateway(addresses []address, gateway net.IP) {
	for i := range addresses {
		if addresses[i].network.Contains(gateway) {
			addresses[i].gateway = gateway
		}
	}
}

// splitList splits a list at its commas. The empty text is an empty list.
func splitList(text string) []string {
	if text == "" {
		return nil
	}
	list := strings.Split(text, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// parseCIDR parses an address with its prefix length and keeps the host bits.
// An IPv4 address mapped into IPv6 becomes the IPv4 address it is.
func parseCIDR(text string) (net.IPNet, bool) {
	ip, network, err := net.ParseCIDR(text)
	if err != nil {
		return net.IPNet{}, false
	}
	v4 := ip.To4()
	if v4 == nil {
		return net.IPNet{IP: ip, Mask: network.Mask}, true
	}
	ones, bits := network.Mask.Size()
	ones -= bits - 32
	return net.IPNet{IP: v4, Mask: net.CIDRMask(ones, 32)}, ones >= 0
}

// assignable notes an address that no interface can have. The kernel takes those of
// IPv4, and does not use them.
func assignable(p *conf.Problems, path string, network net.IPNet) bool {
	if network.IP.IsUnspecified() || network.IP.IsMulticast() || network.IP.Equal(net.IPv4bcast) {
		p.Add(path, "%s cannot be the address of an interface", network.String())
		return false
	}
	return true
}

// limitFamilies makes sure that the result fits into the old formats.
func (c *Config) limitFamilies(p *conf.Problems) {
	count := map[int]int{}
	for _, a := range c.assigned {
		count[len(a.network.IP)]++
	}
	c.LimitFamilies(p, "ipam.addresses", count[net.IPv4len], count[net.IPv6len])
}
