// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ptp

import (
	"context"
	"net"

	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// checkAttachment compares both ends of the pair, the routes between them and
// the masquerading with what ADD reported and the configuration says.
func checkAttachment(ctx context.Context, req *plugin.Request, c *Config) error {
	var report check.Report
	report.Fail("ipam", req.IPAM.Check(ctx))
	pair := vethpair.Check(&report, req, true)
	checkRoutes(&report, req, pair)
	c.CheckMasquerade(ctx, &report, req, containerlink.OwnIPs(req))
	return report.Err()
}

// checkRoutes looks for the gateway's addresses on the host's end, for the routes
// from one end to the other, and whether the host forwards.
func checkRoutes(report *check.Report, req *plugin.Request, pair vethpair.Pair) {
	plan, err := planRoutes(containerlink.OwnIPs(req))
	if err != nil {
		report.Fail("prevResult", err)
		return
	}
	if pair.Container != nil {
		report.Fail(req.IfName, req.InNetns(func() error {
			report.RouteThrough(pair.Container, destinations(plan.gateways)...)
			return nil
		}))
	}
	if pair.Host != nil {
		checkHost(report, plan, pair.Host)
	}
}

func checkHost(report *check.Report, plan routePlan, host netlink.Link) {
	var gateways []*current.IPConfig
	for _, addr := range plan.hostAddrs {
		gateways = append(gateways, &current.IPConfig{Address: *addr})
	}
	report.Addresses(host, -1, gateways)
	report.RouteThrough(host, destinations(plan.host)...)
	for _, gateway := range plan.hostAddrs {
		report.Forwarding(gateway.IP)
	}
}

func destinations(routes []netlink.Route) []net.IPNet {
	var all []net.IPNet
	for _, route := range routes {
		all = append(all, *route.Dst)
	}
	return all
}
