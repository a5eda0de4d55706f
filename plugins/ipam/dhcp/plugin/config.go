// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/containernetworking/plugins/pkg/conf"
)

const (
	defaultSocketPath = "/run/cni/dhcp.sock"
	longestSocketPath = 107 // sun_path of unix(7), without the zero byte
)

// Config is what dhcp reads of the configuration of its caller.
type Config struct {
	conf.Common
	IPAM IPAMConfig `json:"ipam"`
}

// IPAMConfig is the "ipam" object.
type IPAMConfig struct {
	Type             string          `json:"type"`
	DaemonSocketPath string          `json:"daemonSocketPath"`
	Provide          []ProvideOption `json:"provide"`
	Request          []RequestOption `json:"request"`
	Priority         int             `json:"priority"`
	Family           string          `json:"family"`
	Probe            bool            `json:"probe"`
}

// ProvideOption is an option to send to the server.
type ProvideOption struct {
	Option  string `json:"option"`
	Value   string `json:"value"`
	FromArg string `json:"fromArg"` // the key of CNI_ARGS whose value to send
}

// RequestOption is an option to ask the server for.
type RequestOption struct {
	Option      string `json:"option"`
	SkipDefault bool   `json:"skipDefault"` // ask for no others than the listed ones
}

// Values of "family".
const (
	familyIPv4 = "ipv4"
	familyIPv6 = "ipv6"
	familyDual = "dual"
)

// isOfCheck tells whether it is the configuration of a CHECK, which looks to the
// daemon like an ADD: only that has to be told a result.
func (c *Config) isOfCheck() bool { return len(c.PrevResult) > 0 }

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	if p.Len() == 0 && reflect.ValueOf(c.IPAM).IsZero() {
		p.Add("ipam", "missing; it needs at least the type, dhcp")
		return
	}
	if length := len(c.IPAM.DaemonSocketPath); length > longestSocketPath {
		p.Add("ipam.daemonSocketPath", "it has %d bytes, the path of a socket has %d at most", length, longestSocketPath)
	}
	if c.IPAM.Family != "" {
		p.OneOf("ipam.family", c.IPAM.Family, familyIPv4, familyIPv6, familyDual)
	}
	if c.IPAM.Priority < 0 || int64(c.IPAM.Priority) > math.MaxUint32 {
		p.Add("ipam.priority", "%d is outside 0-%d", c.IPAM.Priority, uint32(math.MaxUint32))
	}
	for i, provided := range c.IPAM.Provide {
		provided.validate(p, fmt.Sprintf("ipam.provide[%d]", i))
	}
	for i, requested := range c.IPAM.Request {
		if requested.Option != "" { // one without is there for skipDefault
			checkOption(p, fmt.Sprintf("ipam.request[%d].option", i), requested.Option)
		}
	}
}

func (o ProvideOption) validate(p *conf.Problems, path string) {
	checkOption(p, path+".option", o.Option)
	o.checkLength(p, path+".value", o.Value)
}

func (o ProvideOption) checkLength(p *conf.Problems, path, value string) {
	if len(value) > maxOption {
		p.Add(path, "value too long for option %s: it has %d bytes, DHCP has room for %d", o.Option, len(value), maxOption)
	}
}

// checkArgs checks the values that CNI_ARGS has for options.
func (c IPAMConfig) checkArgs(cniArgs string) error {
	var problems conf.Problems
	args := parseArgs(cniArgs)
	for _, provided := range c.Provide {
		if value, _ := provided.value(args); provided.FromArg != "" {
			provided.checkLength(&problems, "CNI_ARGS."+provided.FromArg, value)
		}
	}
	return problems.Err()
}

func checkOption(p *conf.Problems, path, name string) {
	if _, ok := parseOptionName(name); !ok {
		p.Add(path, "Can not parse option %q: neither a number from 0 to 255 nor one of %s", name, strings.Join(optionNames(), ", "))
	}
}

func (c *Config) socketPath() string {
	if c.IPAM.DaemonSocketPath == "" {
		return defaultSocketPath
	}
	return c.IPAM.DaemonSocketPath
}

// families returns the address families to get leases for.
func (c *Config) families() []family {
	switch c.IPAM.Family {
	case familyIPv6:
		return []family{inet6}
	case familyDual:
		return []family{inet4, inet6}
	}
	return []family{inet4}
}
