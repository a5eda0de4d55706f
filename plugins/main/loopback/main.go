// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The loopback plugin brings a container's loopback interface up.
package main

import (
	loopback "github.com/containernetworking/plugins/plugins/main/loopback/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(loopback.Plugin) }
