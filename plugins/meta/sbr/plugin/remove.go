// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sbr

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// remove puts the routes back into the main table and removes the rules, each
// as the last of what belongs to it. The routes come back also from tables whose
// rule somebody has removed.
func remove(req *plugin.Request, c *Config) error {
	index := 0
	l, err := link.Find(req.IfName)
	switch {
	case err == nil:
		index = l.Attrs().Index
	case !link.IsNotFound(err):
		return err
	}
	found, err := findRest(req, index)
	if err != nil {
		return err
	}
	var errs []error
	for _, rule := range found.pick(c) {
		if index != 0 && rule.Protocol == ownTable {
			errs = append(errs, restore(l, rule.Table))
		}
		errs = append(errs, deleteRule(rule))
	}
	for _, table := range found.orphanedTables(c) {
		errs = append(errs, restore(l, table))
	}
	return errors.Join(errs...)
}

// rest is what there is in the container that ADD may have made.
type rest struct {
	rules   []netlink.Rule
	own     []*current.IPConfig           // the addresses of the interface
	isLeft  func(rule *netlink.Rule) bool // nobody can have the rule any more
	orphans []netlink.Route               // of the interface, where no rule leads
}

// findRest looks for it. The interface's are the addresses that it has, and those
// of prevResult that no other one has meanwhile.
func findRest(req *plugin.Request, index int) (*rest, error) {
	rules, err := listRules()
	if err != nil {
		return nil, err
	}
	routes, err := linkroutes.All()
	if err != nil {
		return nil, err
	}
	addresses, err := netlinksafe.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	r := &rest{rules: rules, isLeft: func(*netlink.Rule) bool { return false }}
	for _, ip := range ownAddresses(req) {
		if !slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return a.LinkIndex != index && a.IP.Equal(ip.Address.IP) }) {
			r.own = append(r.own, ip)
		}
	}
	if index == 0 {
		r.isLeft = func(rule *netlink.Rule) bool { return isLeftOver(rule, addresses, routes) }
		return r, nil
	}
	for _, address := range addresses {
		if address.LinkIndex == index {
			r.own = append(r.own, &current.IPConfig{Address: *address.IPNet})
		}
	}
	r.orphans, err = unruled(routes, rules, index)
	return r, err
}

// isLeftOver tells whether a rule may be that of an interface that is gone: nobody
// has the address, and the table leads nowhere. One that is down has no addresses
// of IPv6, either, and no routes: while the own interface is there nobody knows.
func isLeftOver(rule *netlink.Rule, addresses []netlink.Addr, routes []netlink.Route) bool {
	return !slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return isFrom(rule, a.IP) }) &&
		!slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Table == rule.Table && (r.LinkIndex != 0 || len(r.MultiPath) > 0) })
}

// pick picks the rules from an address of the interface, and those of ours that
// are left. Rules that do not say that they are ours could be upstream's, if there
// are no others, or somebody's.
func (r *rest) pick(c *Config) []netlink.Rule {
	var ours, upstreams []netlink.Rule
	for _, rule := range r.rules {
		marked := rule.Protocol != unspecified
		isOwners := slices.ContainsFunc(r.own, func(ip *current.IPConfig) bool { return isFrom(&rule, ip.Address.IP) })
		switch {
		case !isOwn(&rule) || rule.Src == nil:
		case marked && (isOwners || r.isLeft(&rule)):
			ours = append(ours, rule)
		case !marked && isOwners && (c.Table == nil || rule.Table == *c.Table):
			upstreams = append(upstreams, rule)
		}
	}
	if len(ours) > 0 {
		return ours
	}
	return upstreams
}

// orphanedTables returns the tables of the addresses that no rule leads to. The one
// of the configuration is filled by somebody else.
func (r *rest) orphanedTables(c *Config) (tables []int) {
	routes := slices.DeleteFunc(slices.Clone(r.orphans), func(route netlink.Route) bool { return c.Table != nil && route.Table == *c.Table })
	for _, ip := range r.own {
		for table := orphaned(routes, ip, c.gatewayOf(ip)); table != 0; table = orphaned(routes, ip, c.gatewayOf(ip)) {
			tables = append(tables, table)
			routes = slices.DeleteFunc(routes, func(route netlink.Route) bool { return route.Table == table })
		}
	}
	return tables
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
