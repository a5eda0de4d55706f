// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vrf

import (
	"context"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// checkMembership compares the VRF with the configuration, and looks in it for
// the interface with the addresses and routes of prevResult.
func checkMembership(_ context.Context, req *plugin.Request, c *Config) error {
	report := &check.Report{}
	err := req.InNetns(func() error {
		l := report.Link(&current.Interface{Name: req.IfName}, "")
		master := report.Link(&current.Interface{Name: c.VRFName}, "vrf")
		found, ok := master.(*netlink.Vrf)
		if ok {
			checkVRF(report, c, found)
		}
		if ok && l != nil {
			checkMember(report, req, l, found)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return report.Err()
}

func checkVRF(report *check.Report, c *Config, found *netlink.Vrf) {
	report.Up(found)
	if c.Table != 0 {
		report.Equal(c.VRFName, "table", c.Table, found.Table)
	}
}

func checkMember(report *check.Report, req *plugin.Request, l netlink.Link, found *netlink.Vrf) {
	if l.Attrs().MasterIndex != found.Index {
		report.Addf("%s: is not in the VRF %s", req.IfName, found.Name)
		return // its routes are elsewhere, then
	}
	index, _ := req.PrevInterface()
	report.Addresses(l, index, req.Prev.IPs)
	all, err := linkroutes.All()
	if err != nil {
		report.Addf("%v", err)
		return
	}
	table := int(found.Table)
	others := linkroutes.ThroughInOthers(all, l.Attrs().Index, table)
	var routes []*types.Route
	for _, route := range req.Prev.Routes {
		moved := *route
		if moved.Table == nil && !slices.ContainsFunc(others, func(r netlink.Route) bool { return isMovedTo(r, route) }) {
			moved.Table = &table
		}
		routes = append(routes, &moved)
	}
	report.Routes(routes)
}

// isMovedTo tells whether a route may be what a plugin before this one (sbr) has
// made of another, in a table of its own. That is not the main one.
func isMovedTo(have netlink.Route, want *types.Route) bool {
	return have.Table != unix.RT_TABLE_MAIN && have.Dst != nil && have.Dst.String() == want.Dst.String()
}
