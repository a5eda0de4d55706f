// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/utils/acd"
	"github.com/containernetworking/plugins/pkg/utils/stdio"
	"github.com/containernetworking/plugins/pkg/utils/subnet"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// Names of sysctls with a place for an interface name. They are in slash form,
// so that names with dots work.
const (
	DisableIPv6SysctlTemplate    = "net/ipv6/conf/%s/disable_ipv6"
	KeepAddrOnDownSysctlTemplate = "net/ipv6/conf/%s/keep_addr_on_down"
)

// Options say how an interface is configured.
type Options struct {
	// Link is the interface, where the caller knows it already.
	Link netlink.Link
	// NoDAD adds IPv6 addresses without duplicate address detection, for
	// interfaces whose addresses are unique by construction: they are usable at
	// once.
	NoDAD bool
	// Probe makes sure that nobody else on the link has the addresses, before they
	// are used: it asks by ARP (RFC 5227) for 0.6 seconds, and waits for the end of
	// duplicate address detection, which NoDAD must not switch off.
	Probe bool
	// Announce has the kernel tell the neighbours about the IPv4 addresses as the
	// interface comes up, where it can.
	Announce bool
	// BeforeRoutes, if not nil, runs when the addresses are there and the
	// interface is up, before the routes of the result are added.
	BeforeRoutes func() error
}

// ConfigureIface gives the interface called ifName, in the network namespace of
// the calling thread, the addresses and routes of res and sets it up.
func ConfigureIface(ifName string, res *current.Result) error {
	return ConfigureIfaceWithOptions(context.Background(), ifName, res, Options{})
}

// ConfigureIfaceWithOptions is ConfigureIface with options. A result that makes
// no sense is refused before anything is changed.
func ConfigureIfaceWithOptions(ctx context.Context, ifName string, res *current.Result, options Options) error {
	addresses, err := addressesFor(ifName, res)
	if err != nil {
		return err
	}
	gateways := gatewaysOf(addresses)
	routes, err := planRoutes(res.Routes, gateways)
	if err != nil {
		return err
	}
	l := options.Link
	if l == nil {
		if l, err = link.Find(ifName); err != nil {
			return err
		}
	}
	changes, err := addressChanges(l, addresses, options)
	if err != nil {
		return err
	}
	if options.Probe {
		if err := probe(ctx, l, addresses); err != nil {
			return err
		}
	}
	if detects := (gateways.v6 != nil || options.Probe) && !options.NoDAD; detects || options.BeforeRoutes != nil {
		if err := link.Apply(changes...); err != nil {
			return err
		}
		if err := beforeRoutes(ctx, l, detects, options); err != nil {
			return err
		}
		changes = nil
	}
	return link.Apply(append(changes, routeChanges(l, routes)...)...)
}

// beforeRoutes does what has to be done before routes are added.
func beforeRoutes(ctx context.Context, l netlink.Link, detects bool, options Options) error {
	if detects {
		if err := settle(ctx, l); err != nil {
			return err
		}
	}
	if options.BeforeRoutes != nil {
		return options.BeforeRoutes()
	}
	return nil
}

// addressesFor returns the addresses of res that are meant for ifName. One that
// names no interface is nobody's; one that names another is a mistake.
func addressesFor(ifName string, res *current.Result) ([]*current.IPConfig, error) {
	if len(res.Interfaces) == 0 {
		return nil, errors.New("no interfaces to configure")
	}
	var own []*current.IPConfig
	for i, ip := range res.IPs {
		if ip == nil || ip.Interface == nil {
			continue
		}
		index := *ip.Interface
		if index < 0 || index >= len(res.Interfaces) {
			return nil, fmt.Errorf("ips[%d].interface: %d is not the index of one of the %d interfaces", i, index, len(res.Interfaces))
		}
		if iface := res.Interfaces[index]; iface == nil || iface.Name != ifName {
			return nil, fmt.Errorf("ips[%d].interface: %s is for %s, not for %s", i, ip.Address.String(), nameOf(iface), ifName)
		}
		own = append(own, ip)
	}
	return own, nil
}

func nameOf(iface *current.Interface) string {
	if iface == nil {
		return "a null interface"
	}
	return iface.Name
}

// addressChanges returns what gives l its addresses and sets it up. Before an
// IPv6 address there has to be IPv6.
func addressChanges(l netlink.Link, addresses []*current.IPConfig, options Options) ([]link.Change, error) {
	var changes []link.Change
	if options.Announce {
		changes = append(changes, link.Announce(l))
	}
	sawIPv6 := false
	for _, ip := range addresses {
		if !isIPv4(ip.Address.IP) && !sawIPv6 {
			sawIPv6 = true
			if err := enableIPv6(l.Attrs().Name); err != nil {
				return nil, err
			}
		}
		changes = append(changes, link.Address(l, &net.IPNet{IP: ip.Address.IP, Mask: ip.Address.Mask}, options.NoDAD))
	}
	return append(changes, link.SetUp(l)), nil
}

// enableIPv6 switches IPv6 on where a default has switched it off, and has the
// interface keep its addresses while it is down (Linux 4.6), as IPv4 does. The
// latter may not be possible, and is no reason to go without a network.
func enableIPv6(name string) error {
	for _, iface := range []string{"lo", name} {
		key := fmt.Sprintf(DisableIPv6SysctlTemplate, iface)
		value, err := sysctl.Sysctl(key)
		if err != nil {
			fmt.Fprintf(stdio.Writer(os.Stderr), "ipam: read %s: %v\n", key, err)
			continue
		}
		if value == "0" {
			continue
		}
		if _, err := sysctl.Sysctl(key, "0"); err != nil {
			return fmt.Errorf("enable IPv6 on %s: %w", iface, err)
		}
	}
	_ = sysctl.Set(fmt.Sprintf(KeepAddrOnDownSysctlTemplate, name), "1")
	return nil
}

// probe sets l up and asks the neighbours who has the IPv4 addresses. Where there
// is no carrier, nobody hears it.
func probe(ctx context.Context, l netlink.Link, addresses []*current.IPConfig) error {
	var ips []net.IP
	for _, ip := range addresses {
		if isIPv4(ip.Address.IP) {
			ips = append(ips, ip.Address.IP)
		}
	}
	if len(ips) == 0 {
		return nil
	}
	if err := link.Apply(link.SetUp(l)); err != nil {
		return err
	}
	found, err := link.FindByIndex(l.Attrs().Index)
	if err != nil {
		return err
	}
	attrs := found.Attrs()
	if len(attrs.HardwareAddr) != 6 || attrs.RawFlags&unix.IFF_NOARP != 0 {
		return fmt.Errorf("probe: %s cannot ask by ARP who has an address; leave the key out", attrs.Name)
	}
	waiting, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = link.WaitUp(waiting, attrs.Index) // where nobody is, nobody has the address
	return acd.Probe(ctx, attrs.Index, attrs.HardwareAddr, ips)
}

func settle(ctx context.Context, l netlink.Link) error {
	ctx, cancel := context.WithTimeout(ctx, link.DADTimeout)
	defer cancel()
	return link.WaitDAD(ctx, l.Attrs().Index)
}

// gatewayPair holds the gateway of each family that routes without one of their
// own go through: the first that an address brings.
type gatewayPair struct{ v4, v6 net.IP }

func gatewaysOf(addresses []*current.IPConfig) gatewayPair {
	var pair gatewayPair
	for _, ip := range addresses {
		switch {
		case ip.Gateway == nil:
		case isIPv4(ip.Gateway) && pair.v4 == nil:
			pair.v4 = ip.Gateway
		case !isIPv4(ip.Gateway) && pair.v6 == nil:
			pair.v6 = ip.Gateway
		}
	}
	return pair
}

// planRoutes returns the routes of a result the way the kernel wants them, in
// their order, each once. Two that differ in their gateway, table, priority or
// scope are two routes.
func planRoutes(routes []*types.Route, gateways gatewayPair) ([]netlink.Route, error) {
	var plan []netlink.Route
	var problems conf.Problems
	for i, route := range routes {
		if route == nil {
			continue
		}
		path := fmt.Sprintf("routes[%d]", i)
		// DHCP servers send host bits (option 33), which the kernel refuses.
		network := subnet.Unmapped(destination(route))
		if network == nil {
			problems.Add(path+".dst", "%q is not a network", route.Dst.String())
			continue
		}
		conf.Route(&problems, path, route)
		if kernel := kernelRoute(route, network, gateways); !slices.ContainsFunc(plan, kernel.Equal) {
			plan = append(plan, kernel)
		}
	}
	return plan, problems.Err()
}

func routeChanges(l netlink.Link, routes []netlink.Route) []link.Change {
	changes := make([]link.Change, len(routes))
	for i, route := range routes {
		route.LinkIndex = l.Attrs().Index
		changes[i] = link.EnsureRoute(route, fmt.Sprintf("%s through %s", describeRoute(route), l.Attrs().Name))
	}
	return changes
}

// destination returns where a route leads: without saying so, as in the netlink
// library, one with a gateway leads everywhere.
func destination(route *types.Route) *net.IPNet {
	if route.Dst.IP != nil || route.Dst.Mask != nil || route.GW == nil {
		return &route.Dst
	}
	return subnet.Everything(route.GW)
}

func kernelRoute(route *types.Route, network *net.IPNet, gateways gatewayPair) netlink.Route {
	kernel := netlink.Route{
		Dst:      network,
		Gw:       route.GW,
		Table:    unix.RT_TABLE_MAIN,
		Priority: route.Priority,
		MTU:      route.MTU,
		AdvMSS:   route.AdvMSS,
	}
	if route.Table != nil && *route.Table != unix.RT_TABLE_UNSPEC {
		kernel.Table = *route.Table
	}
	if route.Scope != nil {
		kernel.Scope = netlink.Scope(*route.Scope)
	}
	// A route to what is on the link itself, or on the host, has no gateway.
	if kernel.Gw == nil && kernel.Scope < netlink.SCOPE_LINK {
		kernel.Gw = gateways.v4
		if !isIPv4(network.IP) {
			kernel.Gw = gateways.v6
		}
	}
	return kernel
}

// GatewayOf returns what tells the gateway that ConfigureIface has given a route of
// res that names none, for the interface with an index in it: the first that an
// address of the interface brings, if any does.
func GatewayOf(res *current.Result, index int) func(*types.Route) net.IP {
	var own []*current.IPConfig
	for _, ip := range res.IPs {
		if ip != nil && ip.Interface != nil && *ip.Interface == index {
			own = append(own, ip)
		}
	}
	gateways := gatewaysOf(own)
	return func(route *types.Route) net.IP {
		network := subnet.Unmapped(destination(route))
		if route.GW != nil || network == nil {
			return route.GW
		}
		return kernelRoute(route, network, gateways).Gw
	}
}

func describeRoute(route netlink.Route) string {
	var text strings.Builder
	text.WriteString(route.Dst.String())
	if route.Gw != nil {
		text.WriteString(" via " + route.Gw.String())
	}
	if route.Table != unix.RT_TABLE_MAIN {
		fmt.Fprintf(&text, " table %d", route.Table)
	}
	return text.String()
}

func isIPv4(ip net.IP) bool { return ip.To4() != nil }
