// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package ptp is the ptp plugin. It joins a container and the host by a veth
// pair of their own: the container routes everything to the host's end, which
// has the gateway's address, and the host has a route to the container.
//
// An attachment owns its veth pair, and with it the addresses and routes of
// both ends, its IPAM reservation and its masquerading. Forwarding, which ADD
// switches on, is shared and stays on.
package ptp

import (
	"context"
	"errors"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/defaultroute"
	"github.com/containernetworking/plugins/internal/masquerade"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/forwarding"
)

// Plugin is the ptp plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "ptp",
	Versions: version.All,
	IPAM:     plugin.RequiredIPAM,
	Add:      add,
	Del:      del,
	Check:    checkAttachment,
	Status:   status,
	GC:       gc,
})

func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	mtu, err := defaultroute.MTU(c.MTU)
	if err != nil {
		return nil, err
	}
	pair, err := vethpair.Create(req, mtu, c.ContainerMAC(nil))
	if err != nil {
		return nil, err
	}
	result, err := req.IPAM.Add(ctx, req.Undo)
	if err != nil {
		return nil, err
	}
	plan, err := planRoutes(result.IPs)
	if err != nil {
		return nil, err
	}
	if err := setUpHost(req, pair); err != nil {
		return nil, err
	}
	if err := configureContainer(ctx, req, pair, plan, result); err != nil {
		return nil, err
	}
	if err := addGateways(pair, plan); err != nil {
		return nil, err
	}
	if err := routeToContainer(pair, plan); err != nil {
		return nil, err
	}
	if err := forwarding.EnableFor(plan.hostAddrs); err != nil {
		return nil, err
	}
	if err := c.Masquerade(ctx, req, result.IPs); err != nil {
		return nil, err
	}
	if c.HasDNS() {
		result.DNS = c.DNS
	}
	return result, nil
}

// del releases everything that belongs to the attachment. It needs neither the
// namespace nor a configuration that makes sense, and goes on past failures.
func del(ctx context.Context, req *plugin.Request, _ *Config) error {
	known, err := vethpair.Silence(req)
	known = masquerade.Recall(req.Owner(), known)
	rulesRemoved := plugin.Background(func() error { return masquerade.Remove(ctx, req.Owner(), known) })
	return errors.Join(err, req.IPAM.Del(ctx), vethpair.Delete(req), rulesRemoved(), masquerade.Prune(ctx, req, known))
}

func status(ctx context.Context, req *plugin.Request, c *Config) error {
	return errors.Join(link.Supported("veth"), c.MasqueradeStatus(ctx, req))
}

func gc(ctx context.Context, req *plugin.Request, _ *Config, valid plugin.Attachments) error {
	return errors.Join(vethpair.GC(valid), netfilter.GC(ctx, valid), masquerade.GC(ctx, req, valid))
}
