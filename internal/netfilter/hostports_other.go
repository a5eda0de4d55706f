// SPDX-License-Identifier: Apache-2.0

package netfilter

import (
	"context"
	"errors"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// A node can have mappings of both backends: after an upgrade, those that were
// made before are iptables'. A port is held, whichever has it.

// freeOfIPTables is for nftables. It starts programs only if iptables maps any
// ports at all.
func freeOfIPTables(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) error {
	for _, f := range families() {
		if _, mappings := ports.of(f); len(mappings) == 0 {
			continue
		}
		maps, err := f.iptablesMapPorts(ctx)
		if err != nil {
			return err
		}
		if maps {
			if err := f.freeInIPTables(ctx, owner, ports, holders); err != nil {
				return err
			}
		}
	}
	return nil
}

// iptablesMapPorts tells whether any container has a port by iptables.
func (f family) iptablesMapPorts(ctx context.Context) (bool, error) {
	var inNFT bool
	err := withConn(ctx, func(c *conn) error {
		if there, err := c.hasChain(f.natTable(), dnatChain); !there {
			return err
		}
		rules, err := c.GetRules(f.natTable(), f.natChain(dnatChain))
		inNFT = len(rules) > 0
		return explain(err)
	})
	return inNFT || f.legacyMentions("nat", containerChainPrefix), err
}

// freeInIPTables removes the chains of containers that are gone and have one of
// the ports, or says who has one. Without iptables nobody can tell.
func (f family) freeInIPTables(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) error {
	return locked(ctx, func() error {
		table, err := f.saveNAT(ctx)
		if absent(err) {
			return nil
		}
		if err != nil {
			return err
		}
		evicted, err := f.heldIn(table, owner, ports, holders)
		if err != nil || len(evicted) == 0 {
			return err
		}
		d := &draft{table: table}
		for _, chain := range evicted {
			d.dropChain(dnatChain, chain)
		}
		return f.restore(ctx, d.input("nat"))
	})
}

// freeOfNFTables is for iptables.
func freeOfNFTables(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) error {
	err := retrying(ctx, func(c *conn) error {
		for _, f := range families() {
			if err := f.portTable().evict(c, owner.Comment(), ports, holders); err != nil {
				return err
			}
		}
		return c.commit()
	})
	if errors.Is(err, errNoNFTables) {
		return nil
	}
	return err
}

// evict queues the removal of owners that are gone and have one of the ports, or
// says who has one.
func (t portTable) evict(c *conn, comment string, ports HostPorts, holders Holders) error {
	container, mappings := ports.of(t.family)
	removed := map[string]bool{}
	if len(ports.conditions(t.family)) > 0 {
		return nil
	}
	for _, m := range mappings {
		e := mapped{t.mapEntry("", m, container.Addr()), m}
		there, err := c.element(t.set(e.set), []byte(e.key))
		if err != nil {
			return err
		}
		if there == nil || there.comment == comment || t.serves(comment, there, e, holders) {
			continue
		}
		if err := t.queueEviction(c, comment, there, e, removed, holders); err != nil {
			return err
		}
	}
	return nil
}
