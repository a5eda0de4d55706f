// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// zoneGate opens with firewalld: the addresses are sources of a zone. Beside it
// there is what the packet filter needs: the ingress policies, which firewalld
// has no words for, and the rules for a policy of iptables that firewalld does
// not know of.
type zoneGate struct {
	zone   string
	beside netfilter.Gate
}

// selectGate returns the gate of a backend or, if none is named, of firewalld
// where it runs, and of the packet filter where it does not.
func selectGate(ctx context.Context, backend, zone string) (netfilter.Gate, error) {
	if backend == firewalld || backend == "" && firewalldRuns(ctx) {
		beside, err := netfilter.GateBeside(ctx)
		return zoneGate{zone: zone, beside: beside}, err
	}
	return netfilter.SelectGate(ctx, backend)
}

// gateOf returns the gate of an attachment that may be there. Its backend, if none
// is named, is the one that was chosen then, as far as that will still do.
func (c *Config) gateOf(ctx context.Context, owner plugin.Owner) (netfilter.Gate, error) {
	was, _ := store().Recall(owner)
	for _, entry := range was.all() {
		if entry.Automatic && c.Backend == "" {
			entry.Zone = c.zone()
			return entry.gate(ctx)
		}
	}
	return selectGate(ctx, c.Backend, c.zone())
}

// gate returns the gate of an attachment that is there.
func (was intended) gate(ctx context.Context) (netfilter.Gate, error) {
	switch {
	case !was.Automatic:
		return selectGate(ctx, was.Backend, was.Zone)
	case firewalldRuns(ctx):
		return selectGate(ctx, firewalld, was.Zone)
	}
	return netfilter.KeepGate(ctx, was.Backend)
}

// Name implements netfilter.Gate.
func (zoneGate) Name() string { return firewalld }

// Prepared implements netfilter.Gate.
func (g zoneGate) Prepared(ctx context.Context, p netfilter.Passage) error {
	return errors.Join(
		g.beside.Prepared(ctx, p),
		withFirewalld(ctx, func(d daemon) error { return d.hasZone(g.zone) }),
	)
}

// Open implements netfilter.Gate.
func (g zoneGate) Open(ctx context.Context, owner plugin.Owner, p netfilter.Passage) error {
	if err := g.beside.Open(ctx, owner, p); err != nil {
		return err
	}
	return withFirewalld(ctx, func(d daemon) error {
		for _, addr := range p.Addrs {
			if err := d.trust(g.zone, addr); err != nil {
				return err
			}
		}
		return nil
	})
}

// Check implements netfilter.Gate.
func (g zoneGate) Check(ctx context.Context, owner plugin.Owner, p netfilter.Passage) ([]string, error) {
	differences, err := g.checkBeside(ctx, owner, p)
	if err != nil {
		return nil, err
	}
	return differences, withFirewalld(ctx, func(d daemon) error {
		for _, addr := range p.Addrs {
			zone, err := d.zoneOf(addr)
			if err != nil {
				return err
			}
			if zone != g.zone {
				differences = append(differences, fmt.Sprintf("firewalld: the zone of %s is %q, expected %q", addr, zone, g.zone))
			}
		}
		return nil
	})
}

// checkBeside wants of an attachment that we have not made what upstream would have
// made of it.
func (g zoneGate) checkBeside(ctx context.Context, owner plugin.Owner, p netfilter.Passage) ([]string, error) {
	if _, remembered := store().Recall(owner); !remembered {
		return netfilter.CheckInherited(ctx, g.beside, owner, p)
	}
	return g.beside.Check(ctx, owner, p)
}

// Restore implements netfilter.Gate.
func (g zoneGate) Restore(ctx context.Context, all []netfilter.OwnedPassage) (restored []plugin.Owner, err error) {
	restored, err = g.beside.Restore(ctx, all)
	errs := []error{err}
	err = withFirewalld(ctx, func(d daemon) error {
		for _, o := range all {
			if !o.Current() {
				continue
			}
			moved, err := d.restore(g.zone, o.Passage.Addrs)
			if moved && !slices.Contains(restored, o.Owner) {
				restored = append(restored, o.Owner)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", o.Owner.Comment(), err))
			}
		}
		return nil
	})
	return restored, errors.Join(append(errs, err)...)
}

// Available implements netfilter.Gate.
func (g zoneGate) Available(ctx context.Context, policy string) error {
	return errors.Join(
		g.beside.Available(ctx, policy),
		withFirewalld(ctx, func(d daemon) error { return d.hasZone(g.zone) }),
	)
}

// distrust takes the addresses of an attachment out of the zones of firewalld, if
// it runs, but for those that another has now.
func distrust(ctx context.Context, owner plugin.Owner, addrs []netip.Addr) error {
	if len(addrs) == 0 {
		return nil
	}
	err := withFirewalld(ctx, func(d daemon) error {
		others := addressesOfOthers(owner)
		var errs []error
		for _, addr := range addrs {
			if !slices.Contains(others, addr) {
				errs = append(errs, d.distrust(addr))
			}
		}
		return errors.Join(errs...)
	})
	if errors.Is(err, errNoFirewalld) {
		return nil
	}
	return err
}
