// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The vrf plugin puts a container's interface into a VRF.
package main

import (
	vrf "github.com/containernetworking/plugins/plugins/meta/vrf/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(vrf.Plugin) }
