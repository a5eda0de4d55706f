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
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the dummy plugin.
var Plugin = plugin.New(childlink.Define(plugin.Definition[Config]{
	Name:     "dummy",
	Versions: version.All,
	IPAM:     plugin.RequiredIPAM,
}, kind))

// Config is the configuration of the dummy plugin.
type Config struct{ conf.Common }

func kind(*Config, conf.EnvArgs) childlink.Kind {
	return childlink.Kind{
		Type:  "dummy",
		Build: func(attrs netlink.LinkAttrs) netlink.Link { return &netlink.Dummy{LinkAttrs: attrs} },
	}
}
