// SPDX-License-Identifier: Apache-2.0

// The host-local plugin assigns addresses from ranges and keeps them on the
// host's own disk.
package main

import (
	hostlocal "github.com/containernetworking/plugins/plugins/ipam/host-local/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(hostlocal.Plugin) }
