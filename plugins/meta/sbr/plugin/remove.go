// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sbr

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// remove puts the routes back into the main table and removes the rules, each
// as the last of what belongs to it.
func remove(req *plugin.Request, c *Config) error {
	index := 0
	l, err := link.Find(req.IfName)
	switch {
	case err == nil:
		index = l.Attrs().Index
	case !link.IsNotFound(err):
		return err
	}
	rules, err := ownRules(req, index, c)
	if err != nil {
		return err
	}
	var errs []error
	for _, rule := range rules {
		if index != 0 && rule.Protocol == ownTable {
			errs = append(errs, restore(l, rule.Table))
		}
		errs = append(errs, deleteRule(rule))
	}
	return errors.Join(errs...)
}

// ownRules returns the rules of the interface's addresses, and of those of
// prevResult that no other interface has meanwhile. If it is gone, there are those
// that nobody can have any more, too.
func ownRules(req *plugin.Request, index int, c *Config) ([]netlink.Rule, error) {
	rules, err := listRules()
	if err != nil {
		return nil, err
	}
	addresses, err := netlinksafe.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	isLeft := func(*netlink.Rule) bool { return false }
	if index == 0 {
		routes, err := linkroutes.All()
		if err != nil {
			return nil, err
		}
		isLeft = func(rule *netlink.Rule) bool { return isLeftOver(rule, addresses, routes) }
	}
	var own []net.IP
	for _, ip := range ownAddresses(req) {
		if !slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return a.LinkIndex != index && a.IP.Equal(ip.Address.IP) }) {
			own = append(own, ip.Address.IP)
		}
	}
	for _, address := range addresses {
		if address.LinkIndex == index {
			own = append(own, address.IP)
		}
	}
	return pick(rules, own, isLeft, c), nil
}

// isLeftOver tells whether a rule may be that of an interface that is gone: nobody
// has the address, and the table leads nowhere. One that is down has no addresses
// of IPv6, either, and no routes: while the own interface is there nobody knows.
func isLeftOver(rule *netlink.Rule, addresses []netlink.Addr, routes []netlink.Route) bool {
	return !slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return isFrom(rule, a.IP) }) &&
		!slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Table == rule.Table && (r.LinkIndex != 0 || len(r.MultiPath) > 0) })
}

// pick picks the rules from an address of own, and those of ours that are left.
// Rules that do not say that they are ours could be upstream's, if there are no
// others, or somebody's.
func pick(rules []netlink.Rule, own []net.IP, isLeft func(*netlink.Rule) bool, c *Config) []netlink.Rule {
	var ours, upstreams []netlink.Rule
	for _, rule := range rules {
		marked := rule.Protocol != unspecified
		switch {
		case !isOwn(&rule) || rule.Src == nil:
		case marked && (isFromAny(&rule, own) || isLeft(&rule)):
			ours = append(ours, rule)
		case !marked && isFromAny(&rule, own) && (c.Table == nil || rule.Table == *c.Table):
			upstreams = append(upstreams, rule)
		}
	}
	if len(ours) > 0 {
		return ours
	}
	return upstreams
}

func isFromAny(rule *netlink.Rule, ips []net.IP) bool {
	return slices.ContainsFunc(ips, func(ip net.IP) bool { return isFrom(rule, ip) })
}

// restore moves what is in a table of ours back to the main table, and removes
// what we have added to both. A link in a VRF has its routes there.
func restore(l netlink.Link, table int) error {
	all, err := linkroutes.All()
	if err != nil {
		return err
	}
	vrf, err := linkroutes.VRF(l)
	if err != nil {
		return err
	}
	linkIndex := l.Attrs().Index
	moved := linkroutes.Through(all, linkIndex, table)
	linkroutes.NearestFirst(moved)
	var errs []error
	for _, route := range slices.Concat(linkroutes.Through(all, linkIndex, unix.RT_TABLE_MAIN), moved) {
		if isAdded(route) {
			errs = append(errs, removeRoute(route))
		}
	}
	moved = slices.DeleteFunc(moved, isAdded)
	for _, route := range moved {
		if vrf == nil {
			// A courtesy to who keeps the interface. It fails where the way to a
			// gateway is gone, which is no reason for DEL to fail.
			_, _ = linkroutes.Add(linkroutes.InTable(route, unix.RT_TABLE_MAIN))
		}
	}
	for _, route := range moved {
		errs = append(errs, removeRoute(route))
	}
	return errors.Join(errs...)
}
