// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sbr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// look finds out what there is.
func look(ifName string) (*state, error) {
	l, err := link.Find(ifName)
	if err != nil {
		return nil, err
	}
	rules, err := listRules()
	if err != nil {
		return nil, err
	}
	all, err := linkroutes.All()
	if err != nil {
		return nil, err
	}
	used, err := linkroutes.TablesInUse(all, rules)
	if err != nil {
		return nil, err
	}
	vrf, err := linkroutes.VRF(l)
	if err != nil {
		return nil, err
	}
	table := unix.RT_TABLE_MAIN
	if vrf != nil {
		table = int(vrf.Table)
	}
	index := l.Attrs().Index
	routes := slices.DeleteFunc(linkroutes.Of(all, index, table), func(r netlink.Route) bool { return isAdded(r) || linkroutes.IsKernels(r) })
	linkroutes.NearestFirst(routes)
	orphans, err := unruled(all, rules, index)
	if err != nil {
		return nil, err
	}
	return &state{link: index, inVRF: vrf != nil, routes: routes, rules: rules, used: used, all: all, orphans: orphans}, nil
}

// unruled picks, of all routes, those of a link in tables that could be ours, but
// that no rule leads to, and that are no VRF's.
func unruled(all []netlink.Route, rules []netlink.Rule, linkIndex int) ([]netlink.Route, error) {
	named, err := linkroutes.TablesInUse(nil, rules)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(linkroutes.ThroughInOthers(all, linkIndex, unix.RT_TABLE_MAIN), func(r netlink.Route) bool {
		return r.Table < firstTable || named[r.Table]
	}), nil
}

// isAdded tells whether a route was not there before ADD.
func isAdded(route netlink.Route) bool { return route.Protocol == ownTable }

func listRules() ([]netlink.Rule, error) {
	rules, err := netlinksafe.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the routing rules: %w", err)
	}
	return rules, nil
}

// apply does what was planned. The routes leave the main table when all others
// are in place, farthest first, so that gateways can be reached all the time.
func (p plan) apply(req *plugin.Request) error {
	a := applier{req}
	for _, rule := range p.rules {
		if err := a.addRule(rule); err != nil {
			return err
		}
	}
	for _, route := range p.copies {
		if err := a.addRoute(route); err != nil {
			return err
		}
	}
	for _, replacement := range p.set {
		if err := a.setRoute(replacement); err != nil {
			return err
		}
	}
	for _, route := range slices.Backward(p.remove) {
		if err := a.removeRoute(route); err != nil {
			return err
		}
	}
	return nil
}

// waitForSources waits until the kernel takes the hints' sources for addresses: one
// of IPv6 has to be known to be unique. What comes of it addRoute sees.
func waitForSources(ctx context.Context, req *plugin.Request, ips []*current.IPConfig) {
	var sources []net.IP
	for _, ip := range hinted(ips) {
		if !isIPv4(ip.Address.IP) {
			sources = append(sources, ip.Address.IP)
		}
	}
	if len(sources) == 0 {
		return
	}
	_ = req.InNetns(func() error {
		l, err := link.Find(req.IfName)
		if err != nil {
			return err
		}
		return link.WaitDAD(ctx, l.Attrs().Index, sources...)
	})
}

// applier changes rules and routes, so that it can be taken back.
type applier struct{ req *plugin.Request }

func (a applier) undo(what string, fn func() error) {
	a.req.Undo.Push(what, func() error { return a.req.InNetns(fn) })
}

func (a applier) addRule(rule netlink.Rule) error {
	if err := netlink.RuleAdd(&rule); err != nil {
		return fmt.Errorf("add the rule from %s to table %d: %w", rule.Src, rule.Table, err)
	}
	a.undo("routing rule", func() error { return deleteRule(rule) })
	return nil
}

// addRoute adds a route, without its source if the kernel does not know that: in a
// VRF, or yet, as it cannot find out whether an address is unique before the link
// has a carrier.
func (a applier) addRoute(route netlink.Route) error {
	added, err := linkroutes.Add(route)
	if linkroutes.LacksSource(route, err) {
		if !isIPv4(route.Src) {
			plugin.Logf("sbr", "%s is not known to be unique yet: the route %s does without it as the source", route.Src, linkroutes.Text(route))
		}
		route.Src = nil
		return a.addRoute(route)
	}
	if added {
		a.undo("route that was added", func() error { return removeRoute(route) })
	}
	return err
}

// setRoute sets a route, in the place of another one. The kernel's own way to
// replace a route takes the first one with that destination and metric, also one
// through another link.
func (a applier) setRoute(replacement replacement) error {
	if replacement.before != nil {
		if err := a.removeRoute(*replacement.before); err != nil {
			return err
		}
	}
	return a.addRoute(replacement.route)
}

func (a applier) removeRoute(route netlink.Route) error {
	removed, err := linkroutes.Remove(route)
	if removed {
		a.undo("route that was removed", func() error {
			_, err := linkroutes.Add(linkroutes.InTable(route, route.Table))
			return err
		})
	}
	return err
}

func removeRoute(route netlink.Route) error {
	_, err := linkroutes.Remove(route)
	return err
}

// deleteRule removes a rule. One that is gone is a success.
func deleteRule(rule netlink.Rule) error {
	err := netlink.RuleDel(&rule)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove the rule from %s to table %d: %w", rule.Src, rule.Table, err)
	}
	return nil
}
