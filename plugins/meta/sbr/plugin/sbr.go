// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package sbr is the sbr plugin: source based routing. Each address of the
// container's interface gets a routing table of its own, and a rule that has
// packets from the address looked up there. So a container with several
// interfaces answers on the one it was asked on.
//
// An attachment owns its rules and tables. They are in the container's network
// namespace and go with it. A rule says by its protocol whose it is, and whether
// the table was filled by us: DEL needs no record beside it. In ADD the rules
// come first, in DEL they go last, so whenever one of them is killed, DEL finds
// what there is.
//
// Several ADDs in a namespace at once would choose the same table. They wait for
// one another (see linkroutes.Locked), also for those of upstream.
package sbr

import (
	"context"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

// Plugin is the sbr plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "sbr",
	Versions: version.All,
	Chained:  true,
	Add:      add,
	Check:    checkTables,
	Del:      del,
	Status:   status,
})

func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	ips := ownAddresses(req)
	if len(ips) == 0 {
		return nil, plugin.Errorf(types.ErrInvalidNetworkConfig, "prevResult.ips: %s has no address there, so there is nothing to route by", req.IfName)
	}
	if c.AddSourceHints && c.Table == nil {
		waitForSources(ctx, req, ips)
	}
	err := linkroutes.Locked(req, func() error {
		found, err := look(req.IfName)
		if err != nil {
			return err
		}
		return found.plan(ips, c).apply(req)
	})
	if err != nil {
		return nil, err
	}
	describe(req.Prev, ips, c)
	return req.Prev, nil
}

// describe puts the gateways of our default routes into those of the result in
// whose place they are: the plugins before look for the routes in CHECK.
func describe(result *current.Result, ips []*current.IPConfig, c *Config) {
	if c.Table != nil {
		return
	}
	for _, route := range result.Routes {
		if route.GW == nil || route.GW.IsUnspecified() || !subnet.IsEverything(&route.Dst) || route.Table != nil || route.Priority != 0 {
			continue
		}
		ours := c.gatewaysOf(ips, isIPv4(route.GW))
		if len(ours) > 0 && !slices.ContainsFunc(ours, route.GW.Equal) {
			route.GW = ours[0]
		}
	}
}

// del removes the rules of the interface's addresses, and puts the routes back.
// The tables of an interface that is gone went with it.
func del(_ context.Context, req *plugin.Request, c *Config) error {
	if !req.Netns.Present() {
		return nil
	}
	return linkroutes.Locked(req, func() error { return remove(req, c) })
}

// status tells whether the kernel knows routing rules.
func status(context.Context, *plugin.Request, *Config) error {
	if _, err := netlinksafe.RuleList(netlink.FAMILY_V4); err != nil {
		return fmt.Errorf("list the routing rules (does the kernel have CONFIG_IP_MULTIPLE_TABLES?): %w", err)
	}
	return nil
}

// ownAddresses returns what prevResult says are the addresses of the
// attachment's interface; those of no interface count, too.
func ownAddresses(req *plugin.Request) []*current.IPConfig {
	if req.Prev == nil {
		return nil
	}
	index, _ := req.PrevInterface()
	var own []*current.IPConfig
	for _, ip := range req.Prev.IPs {
		if ip.Address.IP != nil && (ip.Interface == nil || *ip.Interface == index || index < 0 && req.Prev.Interfaces[*ip.Interface].Name == req.IfName) {
			own = append(own, ip)
		}
	}
	return own
}
