// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tap

import (
	"strings"

	"github.com/containernetworking/plugins/pkg/conf"
)

// Config is the configuration of the tap plugin.
type Config struct {
	conf.Common
	conf.MACSettings
	MultiQueue     bool    `json:"multiQueue"`
	MTU            int     `json:"mtu"`
	Owner          *uint32 `json:"owner,omitempty"`
	Group          *uint32 `json:"group,omitempty"`
	SELinuxContext string  `json:"selinuxContext,omitempty"`
	Bridge         string  `json:"bridge,omitempty"`
}

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, args conf.EnvArgs) {
	conf.MTU(p, "mtu", c.MTU)
	c.ValidateMAC(p, args)
	if c.Bridge != "" {
		conf.LinkName(p, "bridge", c.Bridge)
	}
	if strings.ContainsAny(c.SELinuxContext, "\x00\n") {
		p.Add("selinuxContext", "%q is not a security context such as system_u:system_r:container_t:s0", c.SELinuxContext)
	}
}
