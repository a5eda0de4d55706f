// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ptp

import (
	"github.com/containernetworking/plugins/internal/masquerade"
	"github.com/containernetworking/plugins/pkg/conf"
)

// Config is the configuration of the ptp plugin.
type Config struct {
	conf.Common
	conf.MACSettings
	masquerade.Settings
	MTU conf.MTUOrAuto `json:"mtu"`
}

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, args conf.EnvArgs) {
	conf.MTU(p, "mtu", c.MTU.Bytes)
	c.ValidateMAC(p, args)
	c.ValidateMasquerade(p)
}
