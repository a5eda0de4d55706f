// SPDX-License-Identifier: Apache-2.0

// The win-overlay plugin connects a Windows container to an Overlay network.
package main

import (
	winoverlay "github.com/containernetworking/plugins/plugins/main/windows/win-overlay/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(winoverlay.Plugin) }
