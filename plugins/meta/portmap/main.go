// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The portmap plugin makes ports of the host lead to a container.
package main

import (
	portmap "github.com/containernetworking/plugins/plugins/meta/portmap/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(portmap.Plugin) }
