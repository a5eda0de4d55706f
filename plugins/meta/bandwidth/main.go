// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The bandwidth plugin limits the rates at which a container sends and receives.
package main

import (
	bandwidth "github.com/containernetworking/plugins/plugins/meta/bandwidth/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(bandwidth.Plugin) }
