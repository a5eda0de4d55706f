// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The firewall plugin lets the traffic of containers pass the host's firewall.
package main

import (
	firewall "github.com/containernetworking/plugins/plugins/meta/firewall/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(firewall.Plugin) }
