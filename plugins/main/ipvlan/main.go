// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The ipvlan plugin gives a container an interface that shares the MAC address of one of the host's links.
package main

import (
	ipvlan "github.com/containernetworking/plugins/plugins/main/ipvlan/plugin"

	"github.com/containernetworking/plugins/internal/linked"
	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(ipvlan.Plugin, linked.IPAM()...) }
