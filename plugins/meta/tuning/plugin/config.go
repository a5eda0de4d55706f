// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tuning

import (
	"cmp"
	"math"
	"net"
	"slices"

	"github.com/containernetworking/plugins/pkg/conf"
)

const defaultDataDir = "/run/cni/tuning" // shared with upstream

// Config is the configuration of the tuning plugin.
type Config struct {
	conf.Common
	Settings
	DataDir string `json:"dataDir,omitempty"`
	Args    struct {
		CNI Settings `json:"cni"`
	} `json:"args"`
	RuntimeConfig struct {
		MAC string `json:"mac,omitempty"`
	} `json:"runtimeConfig"`
}

// Settings are what can be tuned. Those of args.cni come before those of the
// configuration itself.
type Settings struct {
	Sysctl   conf.Distinct `json:"sysctl,omitempty"`
	MAC      *string       `json:"mac,omitempty"`
	Promisc  *bool         `json:"promisc,omitempty"`
	MTU      *int          `json:"mtu,omitempty"`
	AllMulti *bool         `json:"allmulti,omitempty"`
	TxQLen   *int          `json:"txQLen,omitempty"`
}

// dataDir is where the originals of attributes are kept.
func (c *Config) dataDir() string { return cmp.Or(c.DataDir, defaultDataDir) }

// dataDirs are where they may have been kept, should somebody have edited the
// configuration since.
func (c *Config) dataDirs() []string {
	return slices.Compact([]string{c.dataDir(), defaultDataDir})
}

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, args conf.EnvArgs) {
	c.Settings.validate(p, "")
	c.Args.CNI.validate(p, "args.cni.")
	for _, source := range c.macs(args) {
		conf.MAC(p, source.path, source.text())
	}
	c.planParameters(p, ifNamePlaceholder)
}

func (s *Settings) validate(p *conf.Problems, path string) {
	if s.MTU != nil {
		conf.MTUUpTo(p, path+"mtu", *s.MTU, math.MaxInt32) // the device knows its limits
	}
	if s.TxQLen != nil {
		p.Range(path+"txQLen", *s.TxQLen, 0, math.MaxInt32)
	}
}

// wanted returns the attributes that are asked for, by their keys. promisc
// false and mtu 0 ask for nothing.
func (c *Config) wanted(args conf.EnvArgs) attributeValues {
	wanted := attributeValues{}
	if mac := c.mac(args); mac != "" {
		wanted[macKey] = mac
	}
	if on := last(c.Promisc, c.Args.CNI.Promisc); on != nil && *on {
		wanted[promiscKey] = true
	}
	if mtu := last(c.MTU, c.Args.CNI.MTU); mtu != nil && *mtu != 0 {
		wanted[mtuKey] = *mtu
	}
	if on := last(c.AllMulti, c.Args.CNI.AllMulti); on != nil {
		wanted[allMultiKey] = *on
	}
	if length := last(c.TxQLen, c.Args.CNI.TxQLen); length != nil {
		wanted[txQLenKey] = *length
	}
	return wanted
}

// macSource is a place where a MAC address may be asked for.
type macSource struct {
	path  string
	value *string
}

func (s macSource) text() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// macs are the places for a MAC address; the last one that has any counts. In
// other plugins runtimeConfig comes after args.cni.
func (c *Config) macs(args conf.EnvArgs) []macSource {
	return []macSource{
		{"mac", c.MAC},
		{args.Path("MAC"), unlessEmpty(args["MAC"])},
		{"runtimeConfig.mac", unlessEmpty(c.RuntimeConfig.MAC)},
		{"args.cni.mac", c.Args.CNI.MAC},
	}
}

// mac returns the MAC address asked for in the form of the kernel, or "".
func (c *Config) mac(args conf.EnvArgs) string {
	var chosen macSource
	for _, source := range c.macs(args) {
		if source.value != nil {
			chosen = source
		}
	}
	address, _ := net.ParseMAC(chosen.text()) // Validate has seen it
	return address.String()
}

func unlessEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// last returns the last of the values that is there, or nil.
func last[T any](values ...*T) (found *T) {
	for _, value := range values {
		if value != nil {
			found = value
		}
	}
	return found
}
