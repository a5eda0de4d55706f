// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package dummy is the dummy plugin. It puts an interface into the container
// that swallows what is sent, and so gives the container addresses of its own
// and nothing else.
//
// An attachment owns its interface, and with it the addresses and routes, and
// its IPAM reservation.
package dummy

import (
	"context"

	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the dummy plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "dummy",
	Versions: version.All,
	IPAM:     plugin.RequiredIPAM,
	Add:      add,
	Del:      del,
	Check:    checkAttachment,
})

// Config is the configuration of the dummy plugin.
type Config struct{ conf.Common }

func kind() childlink.Kind {
	return childlink.Kind{
		Type:  "dummy",
		Build: func(attrs netlink.LinkAttrs) netlink.Link { return &netlink.Dummy{LinkAttrs: attrs} },
	}
}

func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	l, err := childlink.Create(req, kind())
	if err != nil {
		return nil, err
	}
	return childlink.Connect(ctx, req, l, &c.Common)
}

func del(ctx context.Context, req *plugin.Request, _ *Config) error {
	return childlink.Del(ctx, req, kind().Type)
}

func checkAttachment(ctx context.Context, req *plugin.Request, _ *Config) error {
	return childlink.Check(ctx, req, kind())
}
