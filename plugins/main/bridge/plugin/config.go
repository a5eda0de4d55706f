// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"fmt"
	"slices"

	"github.com/containernetworking/plugins/internal/masquerade"
	"github.com/containernetworking/plugins/pkg/conf"
)

const (
	maxVLAN       = 4094
	maxLinkName   = 15 // IFNAMSIZ without the terminator
	defaultBridge = "cni0"
)

// Config is the configuration of the bridge plugin.
type Config struct {
	conf.Common
	conf.MACSettings
	masquerade.Settings
	Bridge                    string         `json:"bridge"`
	IsGateway                 bool           `json:"isGateway"`
	IsDefaultGateway          bool           `json:"isDefaultGateway"`
	ForceAddress              bool           `json:"forceAddress"`
	MTU                       conf.MTUOrAuto `json:"mtu"`
	HairpinMode               bool           `json:"hairpinMode"`
	PromiscMode               bool           `json:"promiscMode"`
	VLAN                      int            `json:"vlan"`
	VLANTrunk                 []TrunkItem    `json:"vlanTrunk"`
	PreserveDefaultVLAN       bool           `json:"preserveDefaultVlan"`
	MACSpoofCheck             bool           `json:"macspoofchk"`
	EnableDAD                 bool           `json:"enabledad"`
	Probe                     bool           `json:"probe"`
	DisableContainerInterface bool           `json:"disableContainerInterface"`
	PortIsolation             bool           `json:"portIsolation"`
}

// TrunkItem is an entry of vlanTrunk: a range of VLAN ids, a single one, or
// both.
type TrunkItem struct {
	MinID *int `json:"minID"`
	MaxID *int `json:"maxID"`
	ID    *int `json:"id"`
}

// Default implements conf.Defaulter.
func (c *Config) Default() { c.Bridge = defaultBridge }

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, args conf.EnvArgs) {
	c.validateBridge(p)
	c.validatePort(p)
	c.ValidateMAC(p, args)
	for i, item := range c.VLANTrunk {
		item.validate(p, fmt.Sprintf("vlanTrunk[%d]", i))
	}
}

func (c *Config) validateBridge(p *conf.Problems) {
	conf.LinkName(p, "bridge", c.Bridge)
	if c.IsDefaultGateway {
		c.IsGateway = true
	}
	if name := c.vlanGateway(); c.IsGateway && c.VLAN != 0 && len(name) > maxLinkName {
		p.Add("bridge", "the VLAN gateway device would be called %q, which is longer than %d bytes", name, maxLinkName)
	}
	conf.MTU(p, "mtu", c.MTU.Bytes)
	if c.layer3() {
		c.ValidateMasquerade(p)
	}
}

func (c *Config) validatePort(p *conf.Problems) {
	p.Range("vlan", c.VLAN, 0, maxVLAN)
	if c.HairpinMode && c.PromiscMode {
		p.Add("hairpinMode", "cannot be combined with promiscMode, set one of them")
	}
	if c.DisableContainerInterface && c.IPAM.Type != "" {
		p.Add("disableContainerInterface", "cannot be combined with ipam, an interface that stays down has no use for addresses")
	}
}

func (t TrunkItem) validate(p *conf.Problems, path string) {
	for _, field := range []struct {
		key string
		id  *int
	}{{"minID", t.MinID}, {"maxID", t.MaxID}, {"id", t.ID}} {
		if field.id != nil {
			p.Range(path+"."+field.key, *field.id, 1, maxVLAN)
		}
	}
	switch {
	case t.MinID != nil && t.MaxID == nil:
		p.Add(path+".maxID", "missing, minID needs it")
	case t.MinID == nil && t.MaxID != nil:
		p.Add(path+".minID", "missing, maxID needs it")
	case t.MinID != nil && *t.MinID > *t.MaxID:
		p.Add(path+".minID", "%d is greater than maxID %d", *t.MinID, *t.MaxID)
	}
}

// trunkIDs returns the VLAN ids of vlanTrunk, each once, in order.
func (c *Config) trunkIDs() []int {
	var ids []int
	for _, item := range c.VLANTrunk {
		if item.ID != nil {
			ids = append(ids, *item.ID)
		}
		if item.MinID != nil {
			for id := *item.MinID; id <= *item.MaxID; id++ {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// filtersVLANs tells whether the bridge has to filter VLANs. An empty vlanTrunk
// asks for that, too.
func (c *Config) filtersVLANs() bool { return c.VLAN != 0 || c.VLANTrunk != nil }

// layer3 tells whether the container's interface gets addresses.
func (c *Config) layer3() bool { return c.IPAM.Type != "" }

// vlanGateway returns the name of the device that holds the gateway addresses
// of the configured VLAN.
func (c *Config) vlanGateway() string { return fmt.Sprintf("%s.%d", c.Bridge, c.VLAN) }
