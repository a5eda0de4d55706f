// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The ptp plugin connects a container to the host by a routed veth pair.
package main

import (
	ptp "github.com/containernetworking/plugins/plugins/main/ptp/plugin"

	"github.com/containernetworking/plugins/internal/linked"
	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(ptp.Plugin, linked.IPAM()...) }
