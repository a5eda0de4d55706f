// SPDX-License-Identifier: Apache-2.0

//go:build linux

package macvlan

import (
	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/conf"
)

// Config is the configuration of the macvlan plugin.
type Config struct {
	conf.Common
	conf.MACSettings
	childlink.Settings
	Mode       string `json:"mode"`
	MTU        int    `json:"mtu"`
	BCQueueLen uint32 `json:"bcqueuelen"`
	Probe      bool   `json:"probe,omitempty"`
}

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, args conf.EnvArgs) {
	modes().Validate(p, c.Mode)
	conf.MTU(p, "mtu", c.MTU)
	c.ValidateMAC(p, args)
}
