// SPDX-License-Identifier: Apache-2.0

//go:build linux

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
	errs := []error{ifNFTables(ctx, func(c *conn) (err error) {
		removed, err = removeNFTPorts(ctx, c, owner, known, holders)
		return err
	})}
	errs = append(errs, forEachFamily(func(f family) error {
		found, err := f.removeLegacyChains(ctx, owner, holders)
		removed = removed || found
		return err
	}))
	return removed, errors.Join(errs...)
}

func (f family) removeLegacyChains(ctx context.Context, owner plugin.Owner, holders Holders) (found bool, err error) {
	var errs []error
	for _, c := range containerChains(owner) {
		if f.legacyMentions("nat", c.chain) {
			found = true
			errs = append(errs, f.removeLegacyChain(ctx, owner, c, holders))
		}
	}
	return found, errors.Join(errs...)
}

// removeNFTPorts removes what nf_tables holds of the owner.
func removeNFTPorts(ctx context.Context, c *conn, owner plugin.Owner, known Mapped, holders Holders) (removed bool, err error) {
	var errs []error
	note := func(found bool, err error) {
		removed = removed || found
		errs = append(errs, err)
	}
	note(removeFromPortTables(ctx, c, owner, known.Ports))
	for _, f := range families() {
		for _, chain := range containerChains(owner) {
			note(f.removeNFTChain(ctx, c, owner, chain, holders))
		}
		note(f.removeUpstream(ctx, c, func(rule upstreamRule) bool { return rule.of(owner.ContainerID, known.Addresses) }))
	}
	return removed, errors.Join(errs...)
}

// removeFromPortTables is one transaction for both families: one that deletes
// something keeps the next waiting (see registry.put). Another follows only if what
// was removed may have been the last in a map with conditions, or in its network's set.
func removeFromPortTables(ctx context.Context, c *conn, owner plugin.Owner, ports *HostPorts) (removed bool, err error) {
	left := map[family][]string{}
	err = c.retrying(ctx, func(c *conn) error {
		for _, f := range families() {
			items, err := f.portTable().queueRemoval(c, owner.Comment(), ports)
			if err != nil {
				return f.portTable().wrap(err)
			}
			removed = removed || len(items) > 0
			left[f] = extrasIn(items)
		}
		return c.commit()
	})
	errs := []error{err}
	for _, f := range families() {
		if endings := left[f]; err == nil && len(endings) > 0 {
			errs = append(errs, f.portTable().dropUnused(ctx, c, func(ending string) bool { return slices.Contains(endings, ending) }))
		}
	}
	return removed, errors.Join(errs...)
}

// containerChainRef is a chain of a container and where the jumps to it are.
type containerChainRef struct{ chain, parent string }

func containerChains(owner plugin.Owner) []containerChainRef {
	return []containerChainRef{{containerChain(owner, "DN-"), dnatChain}, {containerChain(owner, "SN-"), snatChain}}
}

// removeNFTChain removes a container's chain from the table of iptables-nft, or
// leaves in it what the container's other attachments have. It tells whether the
// chain was there.
func (f family) removeNFTChain(ctx context.Context, c *conn, owner plugin.Owner, ref containerChainRef, holders Holders) (bool, error) {
	there, err := c.hasChain(f.natTable(), ref.chain)
	if !there {
		return false, err
	}
	if len(holders.Siblings(owner)) > 0 && ref.parent == dnatChain {
		return true, f.leaveSiblings(ctx, owner, holders)
	}
	return true, f.dropNFTChain(ctx, c, ref)
}

// leaveSiblings leaves in a container's chain what its other attachments have.
func (f family) leaveSiblings(ctx context.Context, owner plugin.Owner, holders Holders) error {
	return f.change(ctx, "nat", func(d *draft) error {
		f.planWithout(d, owner, holders)
		return nil
	})
}

func (f family) dropNFTChain(ctx context.Context, c *conn, ref containerChainRef) error {
	err := c.retrying(ctx, func(c *conn) error {
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

// removeLegacyChain does what removeNFTChain does with iptables-legacy.
func (f family) removeLegacyChain(ctx context.Context, owner plugin.Owner, c containerChainRef, holders Holders) error {
	if len(holders.Siblings(owner)) > 0 && c.parent == dnatChain {
		return f.legacy().leaveSiblings(ctx, owner, holders)
	}
	return f.dropLegacyChains(ctx, func(savedTable) []string { return []string{c.chain} }, c.parent)
}

// dropLegacyChains removes the chains that selected returns, to which parent
// jumps.
func (f family) dropLegacyChains(ctx context.Context, selected func(savedTable) []string, parent string) error {
	if absent(f.legacy().installed("-save")) {
		return nil
	}
	return f.legacy().change(ctx, "nat", func(d *draft) error {
		for _, chain := range selected(d.table) {
			d.dropChain(parent, chain)
		}
		return nil
	})
}

// GCPorts removes what attachments of the network that are not valid any more
// have left, in the shapes that RemovePorts removes. Upstream's nftables rules
// name no network: elsewhere tells of a container whether it may be another
// network's. What no attachment needs any more goes, too. It goes on after an error.
func GCPorts(ctx context.Context, attachments plugin.Attachments, elsewhere func(container string) bool) error {
	stale := func(comment string) bool { return staleEntry(attachments, comment) }
	errs := []error{orIPTables(ctx, func(c *conn) error {
		var errs []error
		for _, f := range families() {
			_, err := f.removeUpstream(ctx, c, func(rule upstreamRule) bool {
				return rule.container != "" && !attachments.HasContainer(rule.container) && !elsewhere(rule.container)
			})
			errs = append(errs, f.portTable().gcElements(ctx, c, attachments), f.gcNFTPorts(ctx, c, stale), err)
		}
		return errors.Join(append(errs, dropUnused(ctx, c))...)
	})}
	errs = append(errs, forEachFamily(func(f family) error {
		if !f.legacyMentions("nat", dnatCommentPrefix+commentPrefix(attachments.Network())) {
			return nil
		}
		return f.dropLegacyChains(ctx, func(table savedTable) []string { return table.entriesOf(stale) }, dnatChain)
	}))
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

func (f family) gcNFTPorts(ctx context.Context, c *conn, stale func(comment string) bool) error {
	var chains []string
	rules, err := c.GetRules(f.natTable(), f.natChain(dnatChain))
	for _, rule := range rules {
		verdict := verdictOf(rule)
		if verdict != nil && verdict.Kind == expr.VerdictJump && stale(ruleComment(rule)) && !slices.Contains(chains, verdict.Chain) {
			chains = append(chains, verdict.Chain)
		}
	}
	errs := []error{explain(err)}
	for _, chain := range chains {
		errs = append(errs, f.dropNFTChain(ctx, c, containerChainRef{chain, dnatChain}))
	}
	return errors.Join(errs...)
}
