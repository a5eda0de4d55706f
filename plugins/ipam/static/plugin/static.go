// SPDX-License-Identifier: Apache-2.0

package static

import (
	"context"
	"errors"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the static IPAM plugin. There is nothing for it to do on DEL and
// GC, and STATUS is answered once its configuration is found to be valid.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "static",
	Versions: version.All,
	IPAM:     plugin.IsIPAM,
	Args:     []string{"IP", "GATEWAY"},
	Add:      add,
	Check:    check,
})

func add(_ context.Context, _ *plugin.Request, c *Config) (*current.Result, error) {
	result := &current.Result{Routes: c.IPAM.Routes, DNS: c.IPAM.DNS}
	for _, a := range c.assigned {
		result.IPs = append(result.IPs, &current.IPConfig{Address: a.network, Gateway: a.gateway})
	}
	return result, nil
}

// check looks for every address in prevResult.
func check(_ context.Context, req *plugin.Request, c *Config) error {
	if req.Prev == nil {
		return plugin.Errorf(types.ErrInvalidNetworkConfig, "prevResult: missing, CHECK compares the addresses with it")
	}
	var errs []error
	for _, a := range c.assigned {
		if reason := a.differsFrom(req.Prev.IPs); reason != "" {
			errs = append(errs, fmt.Errorf("%s on interface %s: %s", a.network.IP, req.IfName, reason))
		}
	}
	return errors.Join(errs...)
}

// differsFrom tells how ips differ from having the address.
func (a address) differsFrom(ips []*current.IPConfig) string {
	reason := "prevResult does not have it"
	for _, ip := range ips {
		switch {
		case !ip.Address.IP.Equal(a.network.IP):
		case ip.Address.String() != a.network.String():
			reason = fmt.Sprintf("prevResult has %s, expected %s", ip.Address.String(), a.network.String())
		case a.gateway != nil && !ip.Gateway.Equal(a.gateway):
			reason = fmt.Sprintf("its gateway in prevResult is %s, expected %s", ip.Gateway, a.gateway)
		default:
			return ""
		}
	}
	return reason
}
