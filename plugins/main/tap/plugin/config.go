// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tap

import (
	"math"
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

// Limits of the kernel's.
const (
	largestMTU = 65535 - 14                 // MAX_MTU of tun.c includes the Ethernet header
	largestID  = uint32(math.MaxUint32 - 1) // -1 stands for none
)

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, args conf.EnvArgs) {
	conf.MTUUpTo(p, "mtu", c.MTU, largestMTU)
	validateID(p, "owner", c.Owner)
	validateID(p, "group", c.Group)
	c.ValidateMAC(p, args)
	if c.Bridge != "" {
		conf.LinkName(p, "bridge", c.Bridge)
	}
	if strings.ContainsAny(c.SELinuxContext, "\x00\n") {
		p.Add("selinuxContext", "%q is not a security context such as system_u:system_r:container_t:s0", c.SELinuxContext)
	}
}

func validateID(p *conf.Problems, path string, id *uint32) {
	if id != nil && *id > largestID {
		p.Add(path, "%d is outside 0-%d", *id, largestID)
	}
}
