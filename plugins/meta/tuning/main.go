// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The tuning plugin sets kernel parameters and link attributes in a container.
package main

import (
	tuning "github.com/containernetworking/plugins/plugins/meta/tuning/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(tuning.Plugin) }
