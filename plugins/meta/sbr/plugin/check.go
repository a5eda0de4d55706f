// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sbr

import (
	"context"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

// checkTables compares the rules, and the routes in our tables, with what ADD
// has made for the addresses of prevResult.
func checkTables(_ context.Context, req *plugin.Request, c *Config) error {
	report := &check.Report{}
	err := req.InNetns(func() error {
		l := report.Link(&current.Interface{Name: req.IfName}, "")
		if l == nil {
			return nil
		}
		return compare(report, req, c, l)
	})
	if err != nil {
		return err
	}
	return report.Err()
}

func compare(report *check.Report, req *plugin.Request, c *Config, l netlink.Link) error {
	rules, err := listRules()
	if err != nil {
		return err
	}
	all, err := linkroutes.All()
	if err != nil {
		return err
	}
	v := comparison{report, req.IfName, ownAddresses(req), rules, func(table int) []netlink.Route { return linkroutes.Of(all, l.Attrs().Index, table) }}
	for _, ip := range ownAddresses(req) {
		table := v.rule(ip, c)
		if table != 0 && c.Table == nil {
			v.routes(ip, table, c.gatewayOf(ip))
		}
	}
	vrf, err := linkroutes.VRF(l)
	if err != nil {
		return err
	}
	if c.Table == nil && vrf == nil {
		v.mainTable(hints(req, c))
	}
	return nil
}

// hints are the addresses with whose subnets the main table is left.
func hints(req *plugin.Request, c *Config) []*current.IPConfig {
	if !c.AddSourceHints {
		return nil
	}
	return hinted(ownAddresses(req))
}

// comparison is what there is.
type comparison struct {
	*check.Report
	ifName string
	ips    []*current.IPConfig
	rules  []netlink.Rule
	table  func(table int) []netlink.Route // through the interface
}

// rule looks for the rule of an address and returns the table that it names. Without
// a table of the configuration, it is not that of another entry of the list with one.
func (v comparison) rule(ip *current.IPConfig, c *Config) int {
	from := subnet.Single(ip.Address.IP)
	upstreams := 0
	for _, rule := range v.rules {
		switch {
		case !isOwn(&rule) || !isFrom(&rule, ip.Address.IP):
		case c.Table != nil && rule.Table == *c.Table, c.Table == nil && rule.Protocol == ownTable:
			return rule.Table
		case c.Table == nil && rule.Protocol == unspecified && upstreams == 0:
			upstreams = rule.Table
		}
	}
	if upstreams != 0 {
		return upstreams
	}
	if c.Table != nil {
		v.Addf("the rule from %s to table %d is missing", from, *c.Table)
	} else {
		v.Addf("the rule from %s to a table of its own is missing", from)
	}
	return 0
}

// routes looks for the default route of an address and for the route to its
// subnet, if it has neighbours.
func (v comparison) routes(ip *current.IPConfig, table int, gateway net.IP) {
	if gateway != nil && !v.has(table, func(r *netlink.Route) bool {
		return linkroutes.IsDefault(*r) && isOfFamily(r, ip) && isThrough(r, gateway)
	}) {
		v.Addf("the default route via %s through %s is missing in table %d", gateway, v.ifName, table)
	}
	network := subnet.Of(&ip.Address)
	if ones, bits := network.Mask.Size(); ones == bits {
		return
	}
	if !v.has(table, func(r *netlink.Route) bool { return r.Dst != nil && r.Dst.String() == network.String() }) {
		v.Addf("the route to %s through %s is missing in table %d", network, v.ifName, table)
	}
}

// hint looks for the route to an address's subnet that names the address, or for
// the one that ADD has made where the kernel did not take that yet.
func (v comparison) hint(ip *current.IPConfig) {
	network := subnet.Of(&ip.Address)
	if !v.has(unix.RT_TABLE_MAIN, func(r *netlink.Route) bool {
		return r.Dst != nil && r.Dst.String() == network.String() && (r.Src.Equal(ip.Address.IP) || r.Src == nil && isAdded(*r))
	}) {
		v.Addf("the route to %s with source %s through %s is missing in the main table", network, ip.Address.IP, v.ifName)
	}
}

// mainTable looks for the hints, and for a default route that would have packets
// leave by the interface whatever address they come from. One that the kernel
// has learnt from a router comes back by itself, and one of a family that no
// address is of has stayed.
func (v comparison) mainTable(hints []*current.IPConfig) {
	for _, ip := range hints {
		v.hint(ip)
	}
	if v.has(unix.RT_TABLE_MAIN, func(r *netlink.Route) bool {
		return linkroutes.IsDefault(*r) && r.Protocol != unix.RTPROT_RA && isOfFamily(r, v.ips...)
	}) {
		v.Addf("a default route through %s is in the main table", v.ifName)
	}
}

func (v comparison) has(table int, wanted func(*netlink.Route) bool) bool {
	for _, route := range v.table(table) {
		if wanted(&route) {
			return true
		}
	}
	return false
}
