// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// gcIngress removes the policies of bridges that are gone. The lock is for a
// bridge that comes back meanwhile: whoever attaches to it finds its policy
// missing and puts it there again.
func gcIngress(ctx context.Context) error {
	return locked(ctx, func() error {
		errs := []error{ifNFTables(ctx, func(c *conn) error {
			var errs []error
			for _, r := range []*registry{isolation(), bridgedIsolation()} {
				errs = append(errs, r.removeOwners(ctx, c, isGone))
			}
			for _, f := range families() {
				errs = append(errs, f.gcIngressInNFT(ctx, c))
			}
			return errors.Join(errs...)
		})}
		for _, f := range families() {
			errs = append(errs, f.gcIngressInLegacy(ctx))
		}
		return errors.Join(errs...)
	})
}

// gcIngressInNFT does so with what iptables-nft has written, without it.
func (f family) gcIngressInNFT(ctx context.Context, c *conn) error {
	err := c.retrying(ctx, func(c *conn) error {
		var stale []*nftables.Rule
		err := c.stable(func() (err error) {
			stale, err = f.staleIngressInNFT(c)
			return err
		})
		if err != nil || len(stale) == 0 {
			return err
		}
		for _, rule := range stale {
			if err := c.DelRule(rule); err != nil {
				return err
			}
		}
		return c.commit()
	})
	if err != nil {
		return fmt.Errorf("table %s filter: %w", familyName(f.table), err)
	}
	return nil
}

func (f family) staleIngressInNFT(c *conn) ([]*nftables.Rule, error) {
	var stale []*nftables.Rule
	for _, chain := range []string{isolationFirst, isolationLast} {
		if there, err := c.hasChain(f.filterTable(), chain); !there {
			return stale, err
		}
		rules, err := c.GetRules(f.filterTable(), f.filterChain(chain))
		if err != nil {
			return nil, err
		}
		for _, rule := range rules {
			if isIngressComment(ruleComment(rule)) && slices.ContainsFunc(portsOf(rule), isGone) {
				stale = append(stale, rule)
			}
		}
	}
	return stale, nil
}

// portsOf returns the interfaces with whose names a rule compares those of a packet.
func portsOf(rule *nftables.Rule) []string {
	var names []string
	for i := 1; i < len(rule.Exprs); i++ {
		load, loads := rule.Exprs[i-1].(*expr.Meta)
		name, compares := rule.Exprs[i].(*expr.Cmp)
		if loads && compares && (load.Key == expr.MetaKeyIIFNAME || load.Key == expr.MetaKeyOIFNAME) {
			names = append(names, string(bytes.TrimRight(name.Data, "\x00")))
		}
	}
	return names
}

// gcIngressInLegacy starts iptables-legacy only if the kernel's legacy table has
// the chains. It is for who has the lock.
func (f family) gcIngressInLegacy(ctx context.Context) error {
	if !f.legacyMentions("filter", isolationFirst) {
		return nil
	}
	return unlessAbsent(f.legacy().changeLocked(ctx, "filter", func(d *draft) error {
		d.gcIngress()
		return nil
	}))
}

// gcIngress plans to remove the policies of bridges that are gone.
func (d *draft) gcIngress() {
	for _, chain := range []string{isolationFirst, isolationLast} {
		for _, rule := range slices.Clone(d.table[chain]) {
			bridge := cmp.Or(after(rule, "-i"), after(rule, "-o"))
			if isIngressComment(after(rule, "--comment")) && bridge != "" && isGone(bridge) {
				d.delete(chain, rule)
			}
		}
	}
}

func isGone(bridge string) bool {
	_, err := netlinksafe.LinkByName(bridge)
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound)
}
