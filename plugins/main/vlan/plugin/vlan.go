// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package vlan is the vlan plugin. It puts an interface into the container that
// is one VLAN (IEEE 802.1Q) of its master, a link of the host or of the
// container.
//
// An attachment owns its interface, and with it the VLAN on the master, the
// addresses and routes, and its IPAM reservation. The master is used and never
// changed.
package vlan

import (
	"context"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the vlan plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "vlan",
	Versions: version.All,
	IPAM:     plugin.OptionalIPAM,
	Add:      add,
	Del:      del,
	Check:    checkAttachment,
	Status:   status,
})

func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	l, err := childlink.Create(req, c.kind())
	if err != nil {
		return nil, err
	}
	return childlink.Connect(ctx, req, l, &c.Common)
}

func del(ctx context.Context, req *plugin.Request, _ *Config) error {
	return childlink.Del(ctx, req, linkType)
}

func checkAttachment(ctx context.Context, req *plugin.Request, c *Config) error {
	return childlink.Check(ctx, req, c.kind())
}

func status(_ context.Context, _ *plugin.Request, c *Config) error {
	return c.master().Status()
}
