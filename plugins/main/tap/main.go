// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The tap plugin gives a container an interface for a virtual machine.
package main

import (
	tap "github.com/containernetworking/plugins/plugins/main/tap/plugin"

	"github.com/containernetworking/plugins/internal/linked"
	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(tap.Plugin, linked.IPAM()...) }
