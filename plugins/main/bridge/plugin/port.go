// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// attachPort makes the host end a port of the bridge, as configured.
func attachPort(req *plugin.Request, c *Config, bridge *netlink.Bridge, pair *vethpair.Pair) error {
	port := link.Port{Bridge: bridge.Index, Alias: req.Owner().Comment(), Hairpin: c.HairpinMode, Isolated: c.PortIsolation}
	if err := link.Join(pair.Host.Attrs().Index, port); err != nil {
		return fmt.Errorf("make %s a port of %s: %w", pair.Host.Attrs().Name, c.Bridge, err)
	}
	plan, any := planVLANs(c)
	if !any {
		return nil
	}
	return setPortVLANs(pair.Host, plan)
}
