// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// ValidateExpectedInterfaceIPs returns an error that names every address of
// resultIPs which the link called ifName does not have, or whose network has no
// route. An address that is its own network needs none.
func ValidateExpectedInterfaceIPs(ifName string, resultIPs []*current.IPConfig) error {
	l, err := link.Find(ifName)
	if err != nil {
		return err
	}
	addresses, err := netlinksafe.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list the addresses of %s: %w", ifName, err)
	}
	var errs []error
	for _, ip := range resultIPs {
		if ip != nil {
			errs = append(errs, validateAddress(ifName, addresses, &ip.Address))
		}
	}
	return errors.Join(errs...)
}

func validateAddress(ifName string, have []netlink.Addr, want *net.IPNet) error {
	if !hasAddress(have, want) {
		return fmt.Errorf("%s does not have the address %s", ifName, want)
	}
	if ones, bits := want.Mask.Size(); ones == bits {
		return nil
	}
	return validateRoute(&types.Route{Dst: *Network(want)})
}

func hasAddress(have []netlink.Addr, want *net.IPNet) bool {
	for _, addr := range have {
		if addr.IP.Equal(want.IP) && addr.Mask.String() == want.Mask.String() {
			return true
		}
	}
	return false
}

// ValidateExpectedRoute returns an error that names every route of resultRoutes
// which the kernel does not have. A route that names no table may be in any: a
// later plugin of the chain may have moved it. A default route may have another
// gateway; package check compares that, too.
func ValidateExpectedRoute(resultRoutes []*types.Route) error {
	var errs []error
	for _, route := range resultRoutes {
		if route != nil {
			errs = append(errs, validateRoute(route))
		}
	}
	return errors.Join(errs...)
}

func validateRoute(want *types.Route) error {
	network := Network(&want.Dst)
	if network == nil {
		return fmt.Errorf("%s is not the destination of a route", want.Dst.String())
	}
	have, err := routesTo(network, want.Table)
	if err != nil {
		return fmt.Errorf("list the routes to %s: %w", network, err)
	}
	anyGateway := want.GW == nil || IsIPNetZero(network)
	if anyGateway && len(have) > 0 || leadsThrough(have, want.GW) {
		return nil
	}
	return fmt.Errorf("the route %s is missing", describe(want))
}

// routesTo returns the routes along which packets to a network are sent: not
// what the local table says about this host's own addresses, nor unreachable
// ones. A nil table stands for all tables.
func routesTo(network *net.IPNet, table *int) ([]netlink.Route, error) {
	filter := &netlink.Route{Dst: network, Type: unix.RTN_UNICAST, Table: unix.RT_TABLE_UNSPEC} // unspecified: all of them
	if table != nil {
		filter.Table = tableNumber(*table)
	}
	const mask = netlink.RT_FILTER_DST | netlink.RT_FILTER_TYPE | netlink.RT_FILTER_TABLE
	return netlinksafe.RouteListFiltered(familyOf(network), filter, mask)
}

// tableNumber returns the table that the kernel puts a route for table in.
func tableNumber(table int) int {
	if table == unix.RT_TABLE_UNSPEC {
		return unix.RT_TABLE_MAIN
	}
	return table
}

func familyOf(network *net.IPNet) int {
	if network.IP.To4() != nil {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

func leadsThrough(routes []netlink.Route, gw net.IP) bool {
	for _, route := range routes {
		if route.Gw.Equal(gw) {
			return true
		}
		for _, hop := range route.MultiPath {
			if hop.Gw.Equal(gw) {
				return true
			}
		}
	}
	return false
}

func describe(route *types.Route) string {
	text := "to " + route.Dst.String()
	if route.GW != nil {
		text += " via " + route.GW.String()
	}
	if route.Table != nil {
		text += fmt.Sprintf(" in table %d", *route.Table)
	}
	return text
}
