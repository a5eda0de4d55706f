// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netnsalive"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// inUse says why the addresses of an attachment may not go to another one although
// its container is gone: whoever got them would get what is sent to ports of the host,
// or share them with a network namespace that still answers. It is empty if they may.
func inUse(owner plugin.Owner) string {
	switch {
	case intent.Of("portmap").Left(owner) != nil:
		return "ports of this host still lead there"
	case netnsalive.HasLink(owner.HostLink()):
		return "its link is still there, so something keeps its network namespace, a socket perhaps"
	}
	return ""
}
