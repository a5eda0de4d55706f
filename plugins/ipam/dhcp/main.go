// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The dhcp plugin gets addresses from a DHCP server, through a daemon that
// keeps their leases alive.
package main

import (
	dhcp "github.com/containernetworking/plugins/plugins/ipam/dhcp/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(dhcp.Plugin) }
