// SPDX-License-Identifier: Apache-2.0

// Package linked has the IPAM plugins that are part of the executables of
// others. Starting a process takes two milliseconds, longer than all that they
// do in it, so an interface plugin calls them where it would start the very same
// code: see plugin.Linked for how it knows.
package linked

import (
	hostlocal "github.com/containernetworking/plugins/plugins/ipam/host-local/plugin"
	static "github.com/containernetworking/plugins/plugins/ipam/static/plugin"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// The build IDs of the executables that were built together with this one. The
// linker sets them (-X); without, delegates are started.
var (
	HostLocalBuildID string
	StaticBuildID    string
)

// IPAM returns the IPAM plugins that are linked into every interface plugin.
func IPAM() []plugin.Linked {
	return []plugin.Linked{
		{Plugin: hostlocal.Plugin, BuildID: HostLocalBuildID},
		{Plugin: static.Plugin, BuildID: StaticBuildID},
	}
}
