// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// iptablesBackend masquerades with the iptables programs, legacy or nft,
// whichever the host has under that name. It keeps upstream's names, comments
// and rules, so that a node can be upgraded and downgraded in place:
//
//	-N CNI-<hash of network and container>
//	-A CNI-… -d 10.88.0.2/16 -j ACCEPT
//	-A CNI-… ! -d 224.0.0.0/4 -j MASQUERADE
//	-A POSTROUTING -s 10.88.0.2 -j CNI-…
//
// The name of the chain does not tell the interface, so that the attachments of
// one container to one network share it. The ACCEPT rules of all come before
// the MASQUERADE, and the chain goes with the last jump to it.
type iptablesBackend struct{}

func (iptablesBackend) Name() string { return IPTables }

// masqueradeChain returns the name of the owner's chain.
func masqueradeChain(owner plugin.Owner) string {
	return rulename.Chain(owner.Network, owner.ContainerID, "")
}

// Masquerade starts one iptables-restore for each family, and before it one
// iptables-save if the chain may exist.
func (iptablesBackend) Masquerade(ctx context.Context, owner plugin.Owner, addrs []*net.IPNet) error {
	for _, f := range families() {
		prefixes := f.prefixes(addrs)
		if len(prefixes) == 0 {
			continue
		}
		err := planningAnew(func() error {
			state, err := f.currentChain(ctx, masqueradeChain(owner))
			if err != nil {
				return err
			}
			return f.restore(ctx, f.masqueradeInput(owner, prefixes, state))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// currentChain returns what the iptables programs hold under chain.
func (f family) currentChain(ctx context.Context, chain string) (savedChain, error) {
	mayExist, err := f.mayHold(ctx, chain)
	if err != nil || !mayExist {
		return savedChain{}, err
	}
	chains, err := f.save(ctx)
	return chains[chain], err
}

// mayHold tells whether iptables-nft or iptables-legacy has a chain.
func (f family) mayHold(ctx context.Context, chain string) (bool, error) {
	var inNFT bool
	err := ifNFTables(ctx, func(c *conn) (err error) {
		inNFT, err = c.hasChain(f.natTable(), chain)
		return err
	})
	if err != nil {
		return false, err
	}
	return inNFT || f.legacyMentions("nat", chain), nil
}

// masqueradeInput returns what iptables-restore has to do so that the chain
// serves prefixes as well as what it served before. Declaring a chain flushes it.
func (f family) masqueradeInput(owner plugin.Owner, prefixes []netip.Prefix, state savedChain) string {
	chain, comment := masqueradeChain(owner), quoteForRestore(rulename.Comment(owner.Network, owner.ContainerID))
	input := []string{"*nat", ":" + chain + " - [0:0]"}
	for _, accept := range state.accepts {
		if !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Masked() == accept.prefix }) {
			input = append(input, accept.text)
		}
	}
	for _, p := range prefixes {
		input = append(input, fmt.Sprintf("-A %s -d %s -j ACCEPT -m comment --comment %s", chain, p, comment))
	}
	input = append(input, fmt.Sprintf("-A %s ! -d %s -j MASQUERADE -m comment --comment %s", chain, f.multicast, comment))
	for _, p := range prefixes {
		if !state.jumpsFrom(p.Addr()) {
			input = append(input, fmt.Sprintf("-A POSTROUTING -s %s -j %s -m comment --comment %s", p.Addr(), chain, comment))
		}
	}
	return strings.Join(append(input, "COMMIT", ""), "\n")
}

// CheckMasquerade starts one iptables-save for each family, if the chain may
// exist.
func (iptablesBackend) CheckMasquerade(ctx context.Context, owner plugin.Owner, addrs []*net.IPNet) ([]string, error) {
	var differences []string
	for _, f := range families() {
		prefixes := f.prefixes(addrs)
		if len(prefixes) == 0 {
			continue
		}
		chain := masqueradeChain(owner)
		state, err := f.currentChain(ctx, chain)
		if err != nil {
			return nil, err
		}
		differences = append(differences, f.chainDifferences(chain, prefixes, state)...)
	}
	return differences, nil
}

// LostMasquerade starts programs only where iptables-nft does not have everything,
// and there is something to be read.
func (b iptablesBackend) LostMasquerade(ctx context.Context, owner plugin.Owner, addrs []*net.IPNet) (bool, error) {
	complete := false
	err := ifNFTables(ctx, func(c *conn) error {
		complete = true
		for _, f := range families() {
			serves, err := f.servesInNFT(c, masqueradeChain(owner), f.prefixes(addrs))
			if err != nil {
				return err
			}
			complete = complete && serves
		}
		return nil
	})
	if err != nil || complete {
		return false, err
	}
	differences, err := b.CheckMasquerade(ctx, owner, addrs)
	return len(differences) > 0, err
}

func (f family) chainDifferences(chain string, prefixes []netip.Prefix, state savedChain) []string {
	if state.name != chain {
		return []string{fmt.Sprintf("%s: chain %s of table nat is missing", f.program(""), chain)}
	}
	var differences []string
	differ := func(format string, args ...any) {
		differences = append(differences, fmt.Sprintf("%s: chain %s of table nat: ", f.program(""), chain)+fmt.Sprintf(format, args...))
	}
	for _, p := range prefixes {
		if !state.jumpsFrom(p.Addr()) {
			differ("POSTROUTING has no jump for source %s", p.Addr())
		}
		if !state.acceptsTo(p.Masked()) {
			differ("no rule accepts destination %s ahead of MASQUERADE", p.Masked())
		}
	}
	if !state.masquerades {
		differ("the MASQUERADE rule is missing")
	}
	return differences
}

// Available looks for the programs and lets them list an empty chain.
func (iptablesBackend) Available(ctx context.Context) error {
	f := families()[0]
	_, err := f.run(ctx, "", "", "-w", lockWait, "-t", "nat", "-S", "POSTROUTING", "1")
	return errors.Join(err, f.installed("-save"), f.installed("-restore"))
}

// without returns what is left of a chain when an attachment with these
// addresses goes.
func (f family) without(addrs []*net.IPNet) func(savedChain) savedChain {
	return func(c savedChain) savedChain { return c.without(f.prefixes(addrs)) }
}

// only returns what is left of a chain when no other addresses live.
func (f family) only(addrs []*net.IPNet) func(savedChain) savedChain {
	return func(c savedChain) savedChain { return c.only(f.prefixes(addrs)) }
}

// nothing is left of a chain whose container is gone.
func nothing(savedChain) savedChain { return savedChain{} }

// removeFromLegacy reduces a chain to what keep says. It starts iptables-legacy
// only if the kernel's legacy table mentions the chain.
func (f family) removeFromLegacy(ctx context.Context, chain string, keep func(savedChain) savedChain) error {
	if !f.legacyMentions("nat", chain) {
		return nil
	}
	return f.reduceLegacy(ctx, func(state savedChain) (savedChain, bool) { return keep(state), state.name == chain })
}

// gcLegacy removes the chains of containers that have no valid attachment to
// the network any more.
func (f family) gcLegacy(ctx context.Context, attachments plugin.Attachments) error {
	if !f.legacyMentions("nat", commentPrefix(attachments.Network())) {
		return nil
	}
	return f.reduceLegacy(ctx, func(state savedChain) (savedChain, bool) { return savedChain{}, state.stale(attachments) })
}

// reduceLegacy changes the chains that reduce selects to what it returns. What another
// removal has done by then is done.
func (f family) reduceLegacy(ctx context.Context, reduce func(savedChain) (rest savedChain, selected bool)) error {
	legacy := f.legacy()
	return unlessAbsent(locked(ctx, func() error {
		return planningAnew(func() error { return legacy.reduceChains(ctx, reduce) })
	}))
}

// reduceChains goes on past a chain that it cannot change, unless nobody gets the lock.
func (f family) reduceChains(ctx context.Context, reduce func(savedChain) (rest savedChain, selected bool)) error {
	chains, err := f.save(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, state := range chains {
		rest, selected := reduce(state)
		if !selected || !state.differs(rest) {
			continue
		}
		err := f.restore(ctx, removalInput(state, rest))
		if isLockedOut(err) {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// removalInput returns what iptables-restore has to do to get from one state of
// a chain to another that has a part of its rules.
func removalInput(now, then savedChain) string {
	input := []string{"*nat"}
	for _, rule := range now.rulesNotIn(then) {
		input = append(input, "-D"+strings.TrimPrefix(rule.text, "-A"))
	}
	if len(then.jumps) == 0 {
		input = append(input, "-F "+now.name, "-X "+now.name)
	}
	return strings.Join(append(input, "COMMIT", ""), "\n")
}
