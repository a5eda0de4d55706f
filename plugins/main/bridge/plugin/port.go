// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// keepIPv6 refuses a port of an MTU that is too small for IPv6 on a bridge that has
// IPv6 addresses: the bridge's MTU becomes that of the port, and the kernel takes
// its addresses away, from all other containers, for good.
func keepIPv6(c *Config, bridge *netlink.Bridge) error {
	if c.MTU.Bytes == 0 || c.MTU.Bytes >= link.SmallestIPv6MTU {
		return nil
	}
	addresses, err := link.Addresses(bridge, netlink.FAMILY_V6)
	if err != nil {
		return err
	}
	for _, addr := range addresses {
		if !addr.IP.IsLinkLocalUnicast() {
			return plugin.Errorf(types.ErrInvalidNetworkConfig,
				"mtu: %d would take %s from %s, whose MTU is that of its smallest port: IPv6 needs %d; use as much or another bridge",
				c.MTU.Bytes, addr.IPNet, c.Bridge, link.SmallestIPv6MTU)
		}
	}
	return nil
}

// attachPort makes the host end a port of the bridge, as configured. Another ADD
// that has failed may have taken back the bridge meanwhile that it had made.
func attachPort(req *plugin.Request, c *Config, bridge *netlink.Bridge, pair *vethpair.Pair) error {
	err := join(req, c, bridge, pair)
	if err != nil && isGone(bridge) {
		again, ensureErr := ensureBridge(req, c)
		if ensureErr != nil {
			return ensureErr
		}
		*bridge = *again
		err = join(req, c, bridge, pair)
	}
	if err != nil {
		return fmt.Errorf("make %s a port of %s: %w", pair.Host.Attrs().Name, c.Bridge, err)
	}
	if plan, any := planVLANs(c); any {
		if err := setPortVLANs(pair.Host, plan); err != nil {
			return err
		}
	}
	return fitMTU(c, bridge, pair.Host)
}

func join(req *plugin.Request, c *Config, bridge *netlink.Bridge, pair *vethpair.Pair) error {
	port := link.Port{Bridge: bridge.Index, Alias: req.Owner().Comment(), Hairpin: c.HairpinMode, Isolated: c.PortIsolation}
	return link.Join(pair.Host.Attrs().Index, port)
}

func isGone(l netlink.Link) bool {
	_, err := link.FindByIndex(l.Attrs().Index)
	return link.IsNotFound(err)
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
