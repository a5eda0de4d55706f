// SPDX-License-Identifier: Apache-2.0

// The static plugin assigns the addresses that its configuration or the runtime
// names.
package main

import (
	static "github.com/containernetworking/plugins/plugins/ipam/static/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(static.Plugin) }
