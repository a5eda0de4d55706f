// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/nftables"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// A node can have mappings of both backends, and of both variants of iptables:
// after an upgrade, those that were made before are iptables', or in upstream's
// tables. A port is held, whichever has it.

// freeOfOthers is for nftables.
func freeOfOthers(ctx context.Context, c *conn, owner plugin.Owner, ports HostPorts, holders Holders) error {
	if err := freeOfIPTables(ctx, c, owner, ports, holders); err != nil {
		return err
	}
	return freeOfUpstream(ctx, c, owner, ports)
}

// freeOfIPTables starts programs only if iptables maps any ports at all.
func freeOfIPTables(ctx context.Context, c *conn, owner plugin.Owner, ports HostPorts, holders Holders) error {
	for _, f := range families() {
		if _, mappings := ports.of(f); len(mappings) == 0 {
			continue
		}
		inNFT, err := f.mapsInNFT(c, containerChainPrefix)
		if err != nil {
			return err
		}
		for _, variant := range f.variants(inNFT, containerChainPrefix) {
			if err := variant.freeInIPTables(ctx, owner, ports, holders); err != nil {
				return err
			}
		}
	}
	return nil
}

// freeOfOtherVariant is for iptables, about the variant that is not the one called
// iptables.
func (f family) freeOfOtherVariant(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) error {
	others, err := f.mappingElsewhere(ctx, containerChainPrefix)
	for _, variant := range others {
		err = errors.Join(err, variant.freeInIPTables(ctx, owner, ports, holders))
	}
	return err
}

// mapsInNFT tells whether iptables-nft leads ports to chains whose names begin so.
// The kernel tells, without programs.
func (f family) mapsInNFT(c *conn, chains string) (bool, error) {
	if there, err := c.hasChain(f.natTable(), dnatChain); !there {
		return false, err
	}
	rules, err := c.GetRules(f.natTable(), f.natChain(dnatChain))
	return slices.ContainsFunc(rules, func(rule *nftables.Rule) bool { return leadsToAny(rule, chains) }), explain(err)
}

// variants returns the family with the programs of each variant of iptables that
// leads ports to such chains.
func (f family) variants(inNFT bool, chains string) []family {
	var variants []family
	if inNFT {
		variants = append(variants, f.explicit("-nft"))
	}
	if f.legacyMentions("nat", chains) {
		variants = append(variants, f.legacy())
	}
	return variants
}

func leadsToAny(rule *nftables.Rule, chains string) bool {
	verdict := verdictOf(rule)
	return verdict != nil && strings.HasPrefix(verdict.Chain, chains)
}

// mappingElsewhere returns the variants that lead ports to chains whose names begin
// so, but for the one that the family's own programs are of.
func (f family) mappingElsewhere(ctx context.Context, chains string) ([]family, error) {
	var inNFT bool
	err := ifNFTables(ctx, func(c *conn) (err error) {
		inNFT, err = f.mapsInNFT(c, chains)
		return err
	})
	return slices.DeleteFunc(f.variants(inNFT, chains), f.hasProgramsOf), err
}

// freeInIPTables removes the chains of containers that are gone and have one of
// the ports, or says who has one. Without iptables nobody can tell.
func (f family) freeInIPTables(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) error {
	if absent(f.installed("-save")) {
		return nil
	}
	return f.change(ctx, "nat", func(d *draft) error {
		evicted, err := f.heldIn(d.table, owner, ports, holders)
		if err != nil {
			return err
		}
		for _, chain := range evicted {
			d.dropChain(dnatChain, chain)
		}
		return nil
	})
}

// freeOfNFTables is for iptables.
func freeOfNFTables(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) error {
	return ifNFTables(ctx, func(c *conn) error {
		if err := freeOfUpstream(ctx, c, owner, ports); err != nil {
			return err
		}
		return c.retrying(ctx, func(c *conn) error {
			for _, f := range families() {
				if err := f.portTable().evict(c, owner.Comment(), ports, holders); err != nil {
					return err
				}
			}
			return c.commit()
		})
	})
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
