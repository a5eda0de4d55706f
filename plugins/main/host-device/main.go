// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The host-device plugin lends a container a network device of the host.
package main

import (
	hostdevice "github.com/containernetworking/plugins/plugins/main/host-device/plugin"

	"github.com/containernetworking/plugins/internal/linked"
	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(hostdevice.Plugin, linked.IPAM()...) }
