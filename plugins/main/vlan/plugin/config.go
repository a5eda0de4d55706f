// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vlan

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/conf"
)

const maxVLAN = 4094

// Config is the configuration of the vlan plugin.
type Config struct {
	conf.Common
	childlink.Settings
	VLANID int  `json:"vlanId"`
	MTU    int  `json:"mtu"`
	Probe  bool `json:"probe,omitempty"`
}

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	if c.Master == "" {
		p.Add("master", "missing; name the interface that carries the VLAN")
	}
	p.Range("vlanId", c.VLANID, 0, maxVLAN)
	conf.MTU(p, "mtu", c.MTU)
}

// suits wants a master that is up: the kernel refuses to set a VLAN up on one
// that is not.
func (c *Config) suits(master netlink.Link) error {
	if attrs := master.Attrs(); attrs.Flags&net.FlagUp == 0 {
		return fmt.Errorf("master: %s is down, and so a VLAN of it cannot be up; set it up", attrs.Name)
	}
	return childlink.FitMTU(c.MTU)(master)
}
