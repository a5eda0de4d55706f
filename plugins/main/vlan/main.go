// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The vlan plugin gives a container one VLAN of one of the host's links.
package main

import (
	vlan "github.com/containernetworking/plugins/plugins/main/vlan/plugin"

	"github.com/containernetworking/plugins/internal/linked"
	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(vlan.Plugin, linked.IPAM()...) }
