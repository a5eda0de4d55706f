// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package ipvlan is the ipvlan plugin. It puts an interface that shares the MAC
// address of its master, a link of the host or of the container, into the
// container. Chained after another plugin it can take the master and the
// addresses from that one's result.
//
// An attachment owns its interface, and with it the addresses and routes, and
// its IPAM reservation. The master is used and never changed.
package ipvlan

import (
	"context"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the ipvlan plugin.
var Plugin = plugin.New(childlink.Define(plugin.Definition[Config]{
	Name:      "ipvlan",
	Versions:  version.All,
	IPAM:      plugin.OptionalIPAM,
	TakesPrev: true,
	Add:       add,
	Status:    status,
}, (*Config).kind))

func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	if err := needAddresses(req); err != nil {
		return nil, err
	}
	master, err := c.masterOf(req.Prev)
	if err != nil {
		return nil, err
	}
	l, err := childlink.Create(req, c.kindOn(master))
	if err != nil {
		return nil, err
	}
	if !req.IPAM.Configured() {
		return req.Prev, childlink.Configure(ctx, req, l, req.Prev, &c.Common, ipam.Options{})
	}
	return childlink.Connect(ctx, req, l, &c.Common, ipam.Options{})
}

// needAddresses refuses an ADD that has addresses neither to ask for nor to
// take over.
func needAddresses(req *plugin.Request) error {
	if req.IPAM.Configured() || len(req.PrevAddresses()) > 0 {
		return nil
	}
	return plugin.Errorf(types.ErrInvalidNetworkConfig,
		"ipam.type: missing, and prevResult has no addresses to take over; name the IPAM plugin that assigns addresses")
}

// status does not look for a master that is not named. That of an ipvlan that is
// chained after another plugin comes from a result, and there is none yet; that
// it is not chained cannot be told, and a runtime takes a node out of service
// whose network is not ready.
func status(_ context.Context, _ *plugin.Request, c *Config) error {
	if c.Master == "" {
		return link.Supported("ipvlan")
	}
	return c.kind(nil).Status()
}
