// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"net"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

// The functions that add routes return the kernel's error as it is: callers ask
// os.IsExist, which does not look inside wrapped errors.

// AddRoute adds a route to ipn through gw, which may be nil, on dev. One that is
// there already is an error (EEXIST).
func AddRoute(ipn *net.IPNet, gw net.IP, dev netlink.Link) error {
	return addRoute(ipn, gw, dev, netlink.SCOPE_UNIVERSE)
}

// AddHostRoute is AddRoute for a destination on this host.
func AddHostRoute(ipn *net.IPNet, gw net.IP, dev netlink.Link) error {
	return addRoute(ipn, gw, dev, netlink.SCOPE_HOST)
}

// AddDefaultRoute is AddRoute for all destinations of the family of gw; without a
// gateway for those of IPv6, as upstream.
func AddDefaultRoute(gw net.IP, dev netlink.Link) error {
	return AddRoute(subnet.Everything(gw), gw, dev)
}

func addRoute(ipn *net.IPNet, gw net.IP, dev netlink.Link, scope netlink.Scope) error {
	return netlink.RouteAdd(&netlink.Route{
		LinkIndex: dev.Attrs().Index,
		Scope:     scope,
		Dst:       ipn,
		Gw:        gw,
	})
}

// IsIPNetZero tells whether ipnet stands for all destinations: it is nil or has
// the prefix length 0.
func IsIPNetZero(ipnet *net.IPNet) bool { return subnet.IsEverything(ipnet) }
