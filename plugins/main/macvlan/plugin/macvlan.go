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
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the macvlan plugin.
var Plugin = plugin.New(childlink.Define(plugin.Definition[Config]{
	Name:     "macvlan",
	Versions: version.All,
	IPAM:     plugin.OptionalIPAM,
	Args:     []string{"MAC"},
}, (*Config).kind))
