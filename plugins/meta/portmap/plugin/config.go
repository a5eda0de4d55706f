// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// Config is the configuration of the portmap plugin.
type Config struct {
	conf.Common
	Backend              string   `json:"backend"`
	SNAT                 bool     `json:"snat"`
	MasqAll              bool     `json:"masqAll"`
	MarkMasqBit          *int     `json:"markMasqBit"`
	ExternalSetMarkChain *string  `json:"externalSetMarkChain"`
	ConditionsV4         []string `json:"conditionsV4"`
	ConditionsV6         []string `json:"conditionsV6"`
	RuntimeConfig        struct {
		PortMappings []PortMapping `json:"portMappings"`
	} `json:"runtimeConfig"`
}

// PortMapping is one mapping as runtimes give it.
type PortMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

// defaultMarkBit is the bit of upstream's mark, 0x2000.
const defaultMarkBit = 13

// Default implements conf.Defaulter.
func (c *Config) Default() { c.SNAT = true }

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	if c.Backend != "" {
		p.OneOf("backend", c.Backend, netfilter.Names()...)
	}
	c.validateMark(p)
	c.validateConditions(p, "conditionsV4", c.ConditionsV4, false)
	c.validateConditions(p, "conditionsV6", c.ConditionsV6, true)
	c.validateOptions(p)
	c.validateMappings(p)
}

func (c *Config) validateMark(p *conf.Problems) {
	if c.MarkMasqBit != nil {
		p.Range("markMasqBit", *c.MarkMasqBit, 0, 31)
	}
	if c.ExternalSetMarkChain == nil {
		return
	}
	if c.MarkMasqBit != nil {
		p.Add("externalSetMarkChain", "excludes markMasqBit: the chain sets its own mark")
	}
	chain := *c.ExternalSetMarkChain
	if chain == "" || len(chain) > rulename.MaxChain || strings.HasPrefix(chain, "-") || strings.ContainsFunc(chain, unprintable) || strings.Contains(chain, " ") {
		p.Add("externalSetMarkChain", "%q cannot be the name of an iptables chain, which has up to %d characters", chain, rulename.MaxChain)
	}
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func (c *Config) validateConditions(p *conf.Problems, path string, conditions []string, ipv6 bool) {
	for i, word := range conditions {
		if strings.TrimSpace(word) == "" || strings.ContainsFunc(word, unprintable) {
			p.Add(fmt.Sprintf("%s[%d]", path, i), "%q is no part of a match", word)
			return
		}
	}
	if len(conditions) == 0 || forIPTables(conditions) {
		return
	}
	if err := netfilter.CheckConditions(conditions, ipv6); err != nil && c.backend() != netfilter.IPTables {
		p.Add(path, "%v", err)
	}
}

// forIPTables tells the language of conditions by their beginning.
func forIPTables(conditions []string) bool {
	return strings.HasPrefix(conditions[0], "-") || strings.HasPrefix(conditions[0], "!")
}

// backend returns the name of the backend that the configuration needs, or ""
// if either will do.
func (c *Config) backend() string {
	if c.Backend != "" {
		return c.Backend
	}
	if len(c.boundTo(netfilter.IPTables)) > 0 {
		return netfilter.IPTables
	}
	return ""
}

// boundTo returns the options that only the backend has.
func (c *Config) boundTo(backend string) []string {
	var options []string
	if c.ExternalSetMarkChain != nil && backend == netfilter.IPTables {
		options = append(options, "externalSetMarkChain")
	}
	for _, option := range []struct {
		name       string
		conditions []string
	}{{"conditionsV4", c.ConditionsV4}, {"conditionsV6", c.ConditionsV6}} {
		if len(option.conditions) > 0 && forIPTables(option.conditions) == (backend == netfilter.IPTables) {
			options = append(options, option.name)
		}
	}
	return options
}

// validateOptions refuses options of one backend together with the other.
func (c *Config) validateOptions(p *conf.Problems) {
	other := map[string]string{netfilter.IPTables: netfilter.NFTables, netfilter.NFTables: netfilter.IPTables}[c.backend()]
	if wrong := c.boundTo(other); other != "" && len(wrong) > 0 {
		p.Add("backend", "%s backend was requested but configuration contains %s-specific options %v", c.backend(), other, wrong)
	}
}

func (c *Config) validateMappings(p *conf.Problems) {
	valid := map[hostPort][]int{}
	for i, m := range c.RuntimeConfig.PortMappings {
		path := fmt.Sprintf("runtimeConfig.portMappings[%d]", i)
		before := p.Len()
		m.validate(p, path)
		if p.Len() > before {
			continue
		}
		port := hostPort{m.mapping().Protocol, m.mapping().HostPort}
		for _, earlier := range valid[port] {
			other := c.RuntimeConfig.PortMappings[earlier]
			if other.ContainerPort != m.ContainerPort && m.mapping().Collides(other.mapping()) {
				p.Add(path, "%s leads to port %d already, by portMappings[%d]", m.mapping(), other.ContainerPort, earlier)
				break
			}
		}
		valid[port] = append(valid[port], i)
	}
}

func (m PortMapping) validate(p *conf.Problems, path string) {
	p.Range(path+".hostPort", m.HostPort, 1, 65535)
	p.Range(path+".containerPort", m.ContainerPort, 1, 65535)
	p.OneOf(path+".protocol", strings.ToLower(m.Protocol), slices.Sorted(maps.Keys(netfilter.Protocols()))...)
	if _, err := m.hostIP(); err != nil {
		p.Add(path+".hostIP", "%q is not an IP address of the host", m.HostIP)
	}
}

// hostIP returns the zero address for none.
func (m PortMapping) hostIP() (netip.Addr, error) {
	if m.HostIP == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(m.HostIP)
	if err == nil && addr.Zone() != "" {
		err = fmt.Errorf("%s has a zone", addr)
	}
	return addr.Unmap(), err
}

// mapping is a valid mapping in netfilter's terms.
func (m PortMapping) mapping() netfilter.PortMapping {
	hostIP, _ := m.hostIP()
	return netfilter.PortMapping{
		Protocol: strings.ToLower(m.Protocol), HostIP: hostIP,
		HostPort: uint16(m.HostPort), ContainerPort: uint16(m.ContainerPort),
	}
}
