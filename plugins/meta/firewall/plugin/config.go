// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"cmp"
	"strings"
	"unicode"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// Config is the configuration of the firewall plugin.
type Config struct {
	conf.Common
	Backend       string `json:"backend,omitempty"`
	AdminChain    string `json:"iptablesAdminChainName,omitempty"`
	Zone          string `json:"firewalldZone,omitempty"`
	IngressPolicy string `json:"ingressPolicy,omitempty"`
}

// firewalld is the name of the backend that internal/netfilter does not have.
const firewalld = "firewalld"

func (c *Config) adminChain() string { return cmp.Or(c.AdminChain, "CNI-ADMIN") }

func (c *Config) zone() string { return cmp.Or(c.Zone, "trusted") }

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	if c.Backend != "" {
		p.OneOf("backend", c.Backend, append(netfilter.Names(), firewalld)...)
	}
	if c.IngressPolicy != "" {
		p.OneOf("ingressPolicy", c.IngressPolicy, netfilter.IngressPolicies()...)
	}
	validateName(p, "iptablesAdminChainName", c.AdminChain, rulename.MaxChain)
	validateName(p, "firewalldZone", c.Zone, 17) // of firewalld
	if netfilter.ReservedChain(c.AdminChain) {
		p.Add("iptablesAdminChainName", "%q has a meaning of its own, choose another name", c.AdminChain)
	}
}

// validateName notes a name that is too long, or no single word for the
// program that gets it. An empty one stands for the default.
func validateName(p *conf.Problems, path, name string, max int) {
	strange := func(c rune) bool {
		return !unicode.IsGraphic(c) || unicode.IsSpace(c) || strings.ContainsRune(`"'\#:/`, c)
	}
	switch {
	case len(name) > max:
		p.Add(path, "%q has %d bytes, at most %d are allowed", name, len(name), max)
	case strings.ContainsFunc(name, strange) || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "!"):
		p.Add(path, "%q is not a name: no white space, quotes, colon or slash, and no - or ! at the beginning", name)
	}
}
