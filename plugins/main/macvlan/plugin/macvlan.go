// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package macvlan is the macvlan plugin. It puts an interface with a MAC
// address of its own on top of a link of the host, or of the container, and into
// the container.
//
// An attachment owns its interface, and with it the addresses and routes, and
// its IPAM reservation. The master is used and never changed, but for its MAC
// address in mode passthru.
package macvlan

import (
	"context"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the macvlan plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "macvlan",
	Versions: version.All,
	IPAM:     plugin.OptionalIPAM,
	Args:     []string{"MAC"},
	Add:      add,
	Del:      del,
	Check:    checkAttachment,
	Status:   status,
})

func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	l, err := childlink.Create(req, c.kind(req.Args))
	if err != nil {
		return nil, err
	}
	return childlink.Connect(ctx, req, l, &c.Common)
}

func del(ctx context.Context, req *plugin.Request, _ *Config) error {
	return childlink.Del(ctx, req, linkType)
}

func checkAttachment(ctx context.Context, req *plugin.Request, c *Config) error {
	return childlink.Check(ctx, req, c.kind(req.Args))
}

func status(_ context.Context, _ *plugin.Request, c *Config) error {
	return c.master().Status()
}
