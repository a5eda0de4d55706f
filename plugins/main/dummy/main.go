// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The dummy plugin gives a container addresses that lead nowhere.
package main

import (
	dummy "github.com/containernetworking/plugins/plugins/main/dummy/plugin"

	"github.com/containernetworking/plugins/internal/linked"
	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(dummy.Plugin, linked.IPAM()...) }
