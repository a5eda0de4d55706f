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
	if plan, any := planVLANs(c); any {
		if err := setPortVLANs(pair.Host, plan); err != nil {
			return err
		}
	}
	return fitMTU(c, bridge, pair.Host)
}

// fitMTU learns what MTU the bridge has with the new port. The kernel makes it the
// smallest of the ports, unless somebody has set one: then it is lowered to that of
// the network, if that has one. What a port cannot take, a packet from the host, is
// lost without a word.
func fitMTU(c *Config, bridge *netlink.Bridge, port netlink.Link) error {
	if bridge.MTU == port.Attrs().MTU {
		return nil
	}
	now, err := link.FindByIndex(bridge.Index)
	if err != nil {
		return err
	}
	bridge.MTU = now.Attrs().MTU
	if c.MTU.Bytes == 0 || bridge.MTU <= c.MTU.Bytes {
		return nil
	}
	if err := netlink.LinkSetMTU(bridge, c.MTU.Bytes); err != nil {
		return fmt.Errorf("lower the MTU of %s from %d to %d: %w", c.Bridge, bridge.MTU, c.MTU.Bytes, err)
	}
	bridge.MTU = c.MTU.Bytes
	return nil
}
