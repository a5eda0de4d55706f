// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The macvlan plugin gives a container an interface with a MAC address of its own on one of the host's links.
package main

import (
	macvlan "github.com/containernetworking/plugins/plugins/main/macvlan/plugin"

	"github.com/containernetworking/plugins/internal/linked"
	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(macvlan.Plugin, linked.IPAM()...) }
