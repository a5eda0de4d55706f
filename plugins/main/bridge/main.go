// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The bridge plugin connects a container to a Linux bridge on the host.
package main

import (
	bridge "github.com/containernetworking/plugins/plugins/main/bridge/plugin"

	"github.com/containernetworking/plugins/internal/linked"
	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(bridge.Plugin, linked.IPAM()...) }
