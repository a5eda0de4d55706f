// SPDX-License-Identifier: Apache-2.0

// The win-bridge plugin connects a Windows container to an L2Bridge or L2Tunnel network.
package main

import (
	winbridge "github.com/containernetworking/plugins/plugins/main/windows/win-bridge/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(winbridge.Plugin) }
