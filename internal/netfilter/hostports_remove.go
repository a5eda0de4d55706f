// SPDX-License-Identifier: Apache-2.0

package netfilter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// Mapped is what is known of an attachment whose mappings are to be removed.
type Mapped struct {
	// Ports are what was mapped; nil if nobody remembers. Then all elements are
	// looked through.
	Ports *HostPorts
	// Addresses are those of the attachment, if they are known: upstream's rules
	// name the container alone.
	Addresses []netip.Prefix
}

// RemovePorts removes what any backend, and any older version of the plugins, has
// written for the owner, and tells whether there was anything. It goes on after
// an error.
func RemovePorts(ctx context.Context, owner plugin.Owner, known Mapped, holders Holders) (removed bool, err error) {
	removals, err := portsInNFTables(ctx, owner, known, holders)
	errs := []error{err}
	for _, f := range families() {
		for _, c := range containerChains(owner) {
			if f.legacyMentions("nat", c.chain) {
				removals = append(removals, func() error { return f.removeLegacyPorts(ctx, owner, c, holders) })
			}
		}
	}
	for _, remove := range removals {
		errs = append(errs, remove())
	}
	return len(removals) > 0, errors.Join(errs...)
}

// removeFromPortTables is one transaction for both families: one that deletes
// something keeps the next waiting (see registry.put).
func removeFromPortTables(ctx context.Context, owner plugin.Owner, ports *HostPorts) error {
	return retrying(ctx, func(c *conn) error {
		for _, f := range families() {
			if err := f.portTable().queueRemoval(c, owner.Comment(), ports); err != nil {
				return f.portTable().wrap(err)
			}
		}
		return c.commit()
	})
}

// containerChainRef is a chain of a container and where the jumps to it are.
type containerChainRef struct{ chain, parent string }

func containerChains(owner plugin.Owner) []containerChainRef {
	return []containerChainRef{{containerChain(owner, "DN-"), dnatChain}, {containerChain(owner, "SN-"), snatChain}}
}

// portsInNFTables looks, with one connection, for what nf_tables holds of the
// owner, and returns how to remove it.
func portsInNFTables(ctx context.Context, owner plugin.Owner, known Mapped, holders Holders) (removals []func() error, err error) {
	err = withConn(ctx, func(c *conn) error {
		own := 0
		for _, f := range families() {
			items, err := f.portTable().ownItems(c, owner.Comment(), known.Ports)
			if err != nil {
				return f.portTable().wrap(err)
			}
			own += len(items)
			found, err := f.portsHeld(ctx, c, owner, known, holders)
			if err != nil {
				return err
			}
			removals = append(removals, found...)
		}
		if own > 0 {
			removals = append(removals, func() error { return removeFromPortTables(ctx, owner, known.Ports) })
		}
		return nil
	})
	if errors.Is(err, errNoNFTables) {
		return nil, nil
	}
	return removals, err
}

// portsHeld returns how to remove what one family's other tables hold of the
// owner.
func (f family) portsHeld(ctx context.Context, c *conn, owner plugin.Owner, known Mapped, holders Holders) (removals []func() error, err error) {
	for _, chain := range containerChains(owner) {
		there, err := c.hasChain(f.natTable(), chain.chain)
		if err != nil {
			return nil, err
		}
		if there {
			removals = append(removals, func() error { return f.removeNFTPorts(ctx, owner, chain, holders) })
		}
	}
	upstream, err := f.upstreamRules(c, func(rule upstreamRule) bool { return rule.of(owner.ContainerID, known.Addresses) })
	if err != nil {
		return nil, err
	}
	if len(upstream) > 0 {
		removals = append(removals, func() error {
			return f.removeUpstream(ctx, func(rule upstreamRule) bool { return rule.of(owner.ContainerID, known.Addresses) })
		})
	}
	return removals, nil
}

// removeNFTPorts removes a container's chain from the table of iptables-nft, or
// leaves in it what the container's other attachments have.
func (f family) removeNFTPorts(ctx context.Context, owner plugin.Owner, c containerChainRef, holders Holders) error {
	if siblings := holders.Siblings(owner); len(siblings) > 0 && c.parent == dnatChain {
		return f.mapPorts(ctx, owner, siblings, holders)
	}
	return f.dropNFTChain(ctx, c)
}

func (f family) dropNFTChain(ctx context.Context, ref containerChainRef) error {
	err := retrying(ctx, func(c *conn) error {
		if exists, err := c.hasChain(f.natTable(), ref.chain); !exists {
			return err
		}
		rules, err := c.GetRules(f.natTable(), f.natChain(ref.parent))
		if err != nil {
			return explain(err)
		}
		for _, rule := range rules {
			if verdict := verdictOf(rule); verdict != nil && verdict.Chain == ref.chain {
				if err := c.DelRule(rule); err != nil {
					return err
				}
			}
		}
		c.DelChain(f.natChain(ref.chain))
		return c.commit()
	})
	if err != nil {
		return fmt.Errorf("table %s nat: %w", familyName(f.table), err)
	}
	return nil
}

// removeLegacyPorts does what removeNFTPorts does with iptables-legacy.
func (f family) removeLegacyPorts(ctx context.Context, owner plugin.Owner, c containerChainRef, holders Holders) error {
	if siblings := holders.Siblings(owner); len(siblings) > 0 && c.parent == dnatChain {
		return f.legacy().mapPorts(ctx, owner, siblings, holders)
	}
	return f.dropLegacyChains(ctx, func(savedTable) []string { return []string{c.chain} }, c.parent)
}

// dropLegacyChains removes the chains that selected returns, to which parent
// jumps.
func (f family) dropLegacyChains(ctx context.Context, selected func(savedTable) []string, parent string) error {
	legacy := f.legacy()
	table, err := legacy.saveNAT(ctx)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	d := &draft{table: table}
	for _, chain := range selected(table) {
		d.dropChain(parent, chain)
	}
	if len(d.lines) == 0 {
		return nil
	}
	return legacy.restore(ctx, d.input("nat"))
}

// GCPorts removes what attachments of the network that are not valid any more
// have left, in the shapes that RemovePorts removes. Upstream's nftables rules
// name no network: elsewhere tells of a container whether it may be another
// network's. It goes on after an error.
func GCPorts(ctx context.Context, attachments plugin.Attachments, elsewhere func(container string) bool) error {
	var errs []error
	stale := func(comment string) bool { return staleEntry(attachments, comment) }
	nft := kernelHasNFTables()
	for _, f := range families() {
		if nft {
			errs = append(errs, f.portTable().gcElements(ctx, attachments), f.gcNFTPorts(ctx, stale), f.removeUpstream(ctx, func(rule upstreamRule) bool {
				return rule.container != "" && !attachments.HasContainer(rule.container) && !elsewhere(rule.container)
			}))
		}
		if f.legacyMentions("nat", dnatCommentPrefix+commentPrefix(attachments.Network())) {
			errs = append(errs, f.dropLegacyChains(ctx, func(table savedTable) []string { return table.entriesOf(stale) }, dnatChain))
		}
	}
	return errors.Join(errs...)
}

// staleEntry tells whether the comment of an entry rule names a container that
// has no valid attachment to the network any more.
func staleEntry(attachments plugin.Attachments, comment string) bool {
	network, container, ok := holderIn(comment)
	return ok && network == attachments.Network() && !attachments.HasContainer(container)
}

// entriesOf returns the chains that entry rules with selected comments lead to.
func (t savedTable) entriesOf(selected func(comment string) bool) []string {
	var chains []string
	for _, rule := range t[dnatChain] {
		if chain := after(rule, "-j"); selected(after(rule, "--comment")) && !slices.Contains(chains, chain) {
			chains = append(chains, chain)
		}
	}
	return chains
}

func (f family) gcNFTPorts(ctx context.Context, stale func(comment string) bool) error {
	var chains []string
	err := withConn(ctx, func(c *conn) error {
		rules, err := c.GetRules(f.natTable(), f.natChain(dnatChain))
		for _, rule := range rules {
			verdict := verdictOf(rule)
			if verdict != nil && verdict.Kind == expr.VerdictJump && stale(ruleComment(rule)) && !slices.Contains(chains, verdict.Chain) {
				chains = append(chains, verdict.Chain)
			}
		}
		return explain(err)
	})
	errs := []error{err}
	for _, chain := range chains {
		errs = append(errs, f.dropNFTChain(ctx, containerChainRef{chain, dnatChain}))
	}
	return errors.Join(errs...)
}
