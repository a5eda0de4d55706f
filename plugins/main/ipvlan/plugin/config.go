// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ipvlan

import (
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Config is the configuration of the ipvlan plugin.
type Config struct {
	conf.Common
	childlink.Settings
	Mode string `json:"mode"`
	MTU  int    `json:"mtu"`
}

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	modes().Validate(p, c.Mode)
	conf.MTU(p, "mtu", c.MTU)
}

// masterOf returns the configured master, or else the only interface of the
// previous result, or else that of the default route.
func (c *Config) masterOf(prev *current.Result) (*childlink.Master, error) {
	master := c.Settings.Of(nil)
	if c.Master != "" || prev == nil {
		return master, nil
	}
	if len(prev.Interfaces) != 1 || prev.Interfaces[0].Name == "" {
		return nil, plugin.Errorf(types.ErrInvalidNetworkConfig,
			"master: missing, and prevResult has %d interfaces where one with a name could take its place; name an interface", len(prev.Interfaces))
	}
	master.Name = prev.Interfaces[0].Name
	return master, nil
}
