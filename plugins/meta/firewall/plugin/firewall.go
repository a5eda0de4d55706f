// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/conf"
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
	gate, err := selectGate(ctx, c.Backend, c.zone())
	if err != nil {
		return nil, err
	}
	if err := gate.Prepared(ctx, passage); err != nil {
		return nil, err
	}
	// Before: one family may be done when the other fails.
	before := store().Get(req.Owner())
	req.Undo.Push("passage", func() error { return giveUp(ctx, req.Owner(), passage, before) })
	wanted := intended{Backend: gate.Name(), Automatic: c.Backend == "", Zone: c.zone(), Passage: passage, Since: time.Now().UTC()}
	remember(req, wanted.beside(req, before))
	err = netfilter.HealingAfter(ctx, store().Others(ctx, req, restore), func(ctx context.Context) error {
		return gate.Open(ctx, req.Owner(), passage)
	})
	if err != nil {
		return nil, err
	}
	warnOfBarriers(ctx, gate, passage)
	return req.Prev, nil
}

// passage is what ADD and CHECK want of the firewall.
func (c *Config) passage(prev *current.Result) (netfilter.Passage, error) {
	passage := netfilter.Passage{Addrs: addressesOf(prev), AdminChain: c.adminChain()}
	if c.IngressPolicy == "" {
		return passage, nil
	}
	bridge := bridgeOf(prev)
	if bridge == "" && c.IngressPolicy == netfilter.IngressOpen {
		return passage, nil // without a bridge, nothing is closed
	}
	passage.Ingress = netfilter.Ingress{Bridge: bridge, Policy: c.IngressPolicy}
	return passage, validateBridge(bridge)
}

// bridgeOf returns the name of the container's bridge, which the bridge plugin
// has first in its result, or "".
func bridgeOf(prev *current.Result) string {
	if len(prev.Interfaces) == 0 || prev.Interfaces[0].Sandbox != "" {
		return ""
	}
	return prev.Interfaces[0].Name
}

// validateBridge refuses what is not the name of one interface, or not to iptables.
func validateBridge(name string) error {
	if name == "" {
		return plugin.Errorf(types.ErrInvalidNetworkConfig,
			"prevResult.interfaces[0]: ingressPolicy is for the bridge on the host, which is expected here; run the bridge plugin before this one")
	}
	const path = "prevResult.interfaces[0].name"
	var problems conf.Problems
	conf.LinkName(&problems, path, name)
	if strings.HasSuffix(name, "+") || strings.HasPrefix(name, "!") {
		problems.Add(path, "%q cannot be the bridge: with + at its end, or ! in front, iptables takes it for something else than a name", name)
	}
	return problems.Err()
}

// addressesOf returns the container's addresses, which are all in the result.
func addressesOf(prev *current.Result) []netip.Addr {
	var addrs []netip.Addr
	if prev == nil {
		return nil
	}
	for _, ip := range prev.IPs {
		if addr, ok := netip.AddrFromSlice(ip.Address.IP); ok {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs
}

// del removes the attachment's rules from every backend: the configuration may
// have changed since ADD.
func del(ctx context.Context, req *plugin.Request, _ *Config) error {
	return remove(ctx, req.Owner(), addressesOf(req.Prev))
}

// remove removes what belongs to an attachment, and forgets the intent last.
func remove(ctx context.Context, owner plugin.Owner, addrs []netip.Addr) error {
	return store().Remove(owner, func() error { return removeRules(ctx, owner, addrs) })
}

// removeRules removes the rules. What they were meant to be tells the addresses; for
// what upstream has made, perhaps in the place of that, the result of ADD does. It
// goes on past failures.
func removeRules(ctx context.Context, owner plugin.Owner, addrs []netip.Addr) error {
	var errs []error
	was, remembered := store().Recall(owner)
	for _, addr := range was.Passage.Addrs {
		if !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	if !remembered || slices.ContainsFunc(was.all(), intended.hasZone) {
		errs = append(errs, distrust(ctx, owner, addrs))
	}
	return errors.Join(append(errs, netfilter.CloseGate(ctx, owner, addrs))...)
}

// checkPassage compares the rules with what ADD would make of the result and the
// configuration.
func checkPassage(ctx context.Context, req *plugin.Request, c *Config) error {
	passage, err := c.passage(req.Prev)
	if err != nil {
		return err
	}
	gate, err := c.gateOf(ctx, req.Owner())
	if err != nil {
		return err
	}
	var report check.Report
	differences, err := gate.Check(ctx, req.Owner(), passage)
	report.Fail(gate.Name(), err)
	for _, difference := range differences {
		report.Addf("%s", difference)
	}
	for _, barrier := range barriers(ctx, gate, passage.Addrs) {
		if barrier.Closed {
			report.Addf("%s", explain(barrier))
		}
	}
	return report.Err()
}

// status tells why an ADD could not succeed. Rules that somebody has flushed do
// not keep it from that: they are said on standard error.
func status(ctx context.Context, _ *plugin.Request, c *Config) error {
	gate, err := selectGate(ctx, c.Backend, c.zone())
	if err != nil {
		return err
	}
	reportLost(ctx)
	return errors.Join(gate.Available(ctx, c.IngressPolicy), passable(ctx, gate))
}

// gc removes what attachments of the network have left that are not valid any
// more, and puts back what the valid ones have lost.
func gc(ctx context.Context, _ *plugin.Request, _ *Config, valid plugin.Attachments) error {
	return errors.Join(
		store().Collect(valid, func(owner plugin.Owner) error { return removeRules(ctx, owner, nil) }),
		netfilter.GCGates(ctx, valid),
		store().HealNetwork(ctx, valid, restore),
	)
}
