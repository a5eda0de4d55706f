// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vrf

import (
	"context"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

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
	table := int(found.Table)
	var routes []*types.Route
	for _, route := range req.Prev.Routes {
		moved := *route
		if moved.Table == nil {
			moved.Table = &table
		}
		routes = append(routes, &moved)
	}
	report.Routes(routes)
}
