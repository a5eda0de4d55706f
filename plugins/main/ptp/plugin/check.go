// SPDX-License-Identifier: Apache-2.0

//go:build linux

package ptp

import (
	"context"

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
	if pair.Host != nil {
		checkHost(&report, req, pair.Host)
	}
	c.CheckMasquerade(ctx, &report, req, containerlink.OwnIPs(req))
	return report.Err()
}

// checkHost looks for the gateway's addresses on the host's end, for the routes
// to the container, and whether the host forwards.
func checkHost(report *check.Report, req *plugin.Request, host netlink.Link) {
	plan, err := planRoutes(containerlink.OwnIPs(req))
	if err != nil {
		report.Fail("prevResult", err)
		return
	}
	var gateways []*current.IPConfig
	for _, addr := range plan.hostAddrs {
		gateways = append(gateways, &current.IPConfig{Address: *addr})
	}
	report.Addresses(host, -1, gateways)
	for _, route := range plan.host {
		report.RouteThrough(host, *route.Dst)
	}
	for _, gateway := range plan.hostAddrs {
		report.Forwarding(gateway.IP)
	}
}
