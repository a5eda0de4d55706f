// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The sbr plugin routes what a container sends by the address it comes from.
package main

import (
	sbr "github.com/containernetworking/plugins/plugins/meta/sbr/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(sbr.Plugin) }
