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
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the vlan plugin.
var Plugin = plugin.New(childlink.Define(plugin.Definition[Config]{
	Name:     "vlan",
	Versions: version.All,
	IPAM:     plugin.OptionalIPAM,
}, (*Config).kind))
