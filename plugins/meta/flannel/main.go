// SPDX-License-Identifier: Apache-2.0

// The flannel plugin gives containers a network that flanneld manages: it has
// another plugin make the interface.
package main

import (
	flannel "github.com/containernetworking/plugins/plugins/meta/flannel/plugin"

	_ "github.com/containernetworking/plugins/internal/startup"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func main() { plugin.Main(flannel.Plugin) }
