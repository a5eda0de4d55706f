// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"cmp"
	"context"
	"errors"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the firewall plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "firewall",
	Versions: version.VersionsStartingFrom("0.3.0"),
	Chained:  true,
	Add:      add,
	Del:      del,
	Check:    checkPassage,
	Status:   status,
	GC:       gc,
})

func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	passage, err := c.passage(req.Prev)
	if err != nil {
		return nil, err
	}
	gate, err := selectGate(ctx, c)
	if err != nil {
		return nil, err
	}
	// Before: one family may be done when the other fails.
	req.Undo.Push("passage", func() error { return del(ctx, req, c) })
	if err := gate.Open(ctx, req.Owner(), passage); err != nil {
		return nil, err
	}
	return req.Prev, nil
}

// passage is what ADD and CHECK want of the firewall.
func (c *Config) passage(prev *current.Result) (netfilter.Passage, error) {
	passage := netfilter.Passage{Addrs: addressesOf(prev), AdminChain: cmp.Or(c.AdminChain, defaultAdminChain)}
	if c.IngressPolicy == "" {
		return passage, nil
	}
	bridge, err := bridgeOf(prev)
	passage.Ingress = netfilter.Ingress{Bridge: bridge, Policy: c.IngressPolicy}
	return passage, err
}

// bridgeOf returns the name of the container's bridge, which the bridge plugin
// has first in its result.
func bridgeOf(prev *current.Result) (string, error) {
	if len(prev.Interfaces) == 0 || prev.Interfaces[0].Name == "" || prev.Interfaces[0].Sandbox != "" {
		return "", plugin.Errorf(types.ErrInvalidNetworkConfig,
			"prevResult.interfaces[0]: ingressPolicy is for the bridge on the host, which is expected here; run the bridge plugin before this one")
	}
	return prev.Interfaces[0].Name, nil
}

func addressesOf(prev *current.Result) []*net.IPNet {
	if prev == nil {
		return nil
	}
	addresses := make([]*net.IPNet, len(prev.IPs))
	for i, ip := range prev.IPs {
		addresses[i] = &net.IPNet{IP: ip.Address.IP, Mask: ip.Address.Mask}
	}
	return addresses
}

// del removes the attachment's rules from every backend: the configuration may
// have changed since ADD. It goes on past failures.
func del(ctx context.Context, req *plugin.Request, _ *Config) error {
	known := addressesOf(req.Prev)
	return errors.Join(distrust(ctx, known), netfilter.CloseGate(ctx, req.Owner(), known))
}

// checkPassage compares the rules with what ADD would make of the result and the
// configuration.
func checkPassage(ctx context.Context, req *plugin.Request, c *Config) error {
	passage, err := c.passage(req.Prev)
	if err != nil {
		return err
	}
	gate, err := selectGate(ctx, c)
	if err != nil {
		return err
	}
	var report check.Report
	differences, err := gate.Check(ctx, req.Owner(), passage)
	report.Fail(gate.Name(), err)
	for _, difference := range differences {
		report.Addf("%s", difference)
	}
	return report.Err()
}

func status(ctx context.Context, _ *plugin.Request, c *Config) error {
	gate, err := selectGate(ctx, c)
	if err != nil {
		return err
	}
	return gate.Available(ctx, c.IngressPolicy)
}

func gc(ctx context.Context, _ *plugin.Request, _ *Config, valid plugin.Attachments) error {
	return netfilter.GCGates(ctx, valid)
}
