// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// Gate is what the firewall plugin asks of netfilter: that the host forwards
// the traffic of containers, and between which bridges it does not.
type Gate interface {
	// Name returns the name of the backend.
	Name() string

	// Prepared says what Open would miss on this host, before anything is changed.
	Prepared(ctx context.Context, p Passage) error

	// Open lets the traffic of the addresses pass, and makes the ingress
	// policy that of the bridge. It replaces what the owner had in this
	// backend, takes addresses over from owners that are gone, and puts right
	// what owners share. Doing it again changes nothing.
	Open(ctx context.Context, owner plugin.Owner, p Passage) error

	// Check says where the kernel differs from what Open would write.
	Check(ctx context.Context, owner plugin.Owner, p Passage) (differences []string, err error)

	// Restore does for each attachment what Open does, as far as Check would
	// find a difference, and returns the owners for which it did. It goes on
	// past those that it cannot restore, and leaves out those that are not
	// current any more.
	Restore(ctx context.Context, all []OwnedPassage) (restored []plugin.Owner, err error)

	// Available says what the backend is missing on this host, with an ingress
	// policy or with "", and where to get it, or returns nil.
	Available(ctx context.Context, policy string) error
}

// Passage is what an attachment wants to have forwarded.
type Passage struct {
	Addrs      []netip.Addr `json:"addresses"`  // what they send, and the answers
	AdminChain string       `json:"adminChain"` // of iptables, for rules of the host's owner that come first
	Ingress    Ingress      `json:"ingress"`
}

// OwnedPassage is a Passage and the attachment it belongs to.
type OwnedPassage struct {
	Owner   plugin.Owner
	Passage Passage

	// Current tells whether the attachment still is there and wants that. It is
	// asked right before a change: somebody else may have the addresses by then.
	Current func() bool
}

func (o OwnedPassage) owner() plugin.Owner { return o.Owner }
func (o OwnedPassage) current() bool       { return o.Current() }

// openEach restores one attachment after the other.
func openEach(ctx context.Context, gate Gate, all []OwnedPassage) (restored []plugin.Owner, err error) {
	return restoreEach(all,
		func(o OwnedPassage) ([]string, error) { return gate.Check(ctx, o.Owner, o.Passage) },
		func(o OwnedPassage) error { return gate.Open(ctx, o.Owner, o.Passage) })
}

// Ingress says which forwarded traffic reaches the containers of a bridge. The
// bridge is shared: its policy stays when the attachment goes. The zero value
// leaves it as it is.
type Ingress struct {
	Bridge string `json:"bridge,omitempty"`
	Policy string `json:"policy,omitempty"`

	routedOnly bool // the kernel cannot filter what bridges switch
}

// The ingress policies.
const (
	IngressOpen       = "open"        // all
	IngressSameBridge = "same-bridge" // not what comes from another bridge with a policy
	IngressIsolated   = "isolated"    // neither that nor what comes from this bridge
)

// IngressPolicies returns the policies, for the validation of configurations.
func IngressPolicies() []string { return []string{IngressOpen, IngressSameBridge, IngressIsolated} }

// SelectGate returns the gate of a backend. An empty name stands for iptables
// where forwarded packets pass rules of iptables, whose verdict nothing in
// another table overrides, or where the kernel has no nftables, and for nftables
// otherwise.
func SelectGate(ctx context.Context, name string) (Gate, error) {
	switch name {
	case NFTables:
		return nftGate{}, nil
	case IPTables:
		return iptablesGate{}, nil
	case "":
		now, err := iptablesForwarding(ctx)
		return now.gate(now.rules, err)
	}
	return nil, fmt.Errorf("%q is not one of %s, %s", name, NFTables, IPTables)
}

// KeepGate returns the gate for what was opened with a backend that SelectGate had
// chosen. That others have rules in iptables by now is a reason to leave nftables
// only if those end in dropping what they do not accept.
func KeepGate(ctx context.Context, name string) (Gate, error) {
	if name == IPTables {
		return iptablesGate{}, nil
	}
	now, err := iptablesForwarding(ctx)
	return now.gateForAll(now.bars, errors.Join(err, now.unclear))
}

// GateBeside returns the gate for a host on which a firewall manager decides
// what passes: iptables only where its policy is to drop, as Docker's is, so
// that nothing but that policy is overruled. Ingress policies are in iptables as
// well where others of the plugin's are.
func GateBeside(ctx context.Context) (Gate, error) {
	now, err := iptablesForwarding(ctx)
	return now.gateForAll(now.drops, err)
}

// CheckInherited is what Check is for an attachment that upstream's plugin has made,
// with a gate that GateBeside has returned. Upstream has left no record there, nor
// anything else but ingress policies, in iptables.
func CheckInherited(ctx context.Context, gate Gate, owner plugin.Owner, p Passage) ([]string, error) {
	switch gate := gate.(type) {
	case bothGate:
		return p.isolationDifferences(ctx)
	case nftGate:
		return gate.Check(ctx, owner, Passage{Ingress: p.Ingress})
	}
	return gate.Check(ctx, owner, p)
}

// forwarding is what iptables, legacy or nft, does about forwarded packets.
type forwarding struct {
	drops    bool  // what no rule accepts, by its policy
	bars     bool  // the same, or by a last rule
	rules    bool  // or anything else at all
	isolates bool  // bridges, as ingress policies say
	unclear  error // why there may be such a last rule all the same
}

// gate returns iptables where that is what matters, or there is nothing else. Where
// that could not be found out, nftables might let nothing pass, and nobody would know.
func (now forwarding) gate(iptables bool, err error) (Gate, error) {
	switch {
	case iptables || errors.Is(err, errNoNFTables):
		return iptablesGate{}, nil
	case err != nil:
		return nil, fmt.Errorf("look for rules of iptables: %w", err)
	}
	return nftGate{}, nil
}

// gateForAll is gate, but bothGate if iptables has ingress policies, which must keep
// holding.
func (now forwarding) gateForAll(iptables bool, err error) (Gate, error) {
	gate, err := now.gate(iptables, err)
	if _, only := gate.(nftGate); only && now.isolates {
		return bothGate{}, nil
	}
	return gate, err
}

// iptablesForwarding asks the kernel. A table of the legacy kind is there only if
// somebody uses it, and nothing but its program tells for sure for what.
func iptablesForwarding(ctx context.Context) (now forwarding, err error) {
	for _, f := range families() {
		now.lookAtLegacy(f)
	}
	err = withConn(ctx, func(c *conn) error {
		for _, f := range families() {
			if err := now.lookAt(c, f); err != nil {
				return err
			}
		}
		return nil
	})
	return now, err
}

func (now *forwarding) lookAtLegacy(f family) {
	if !f.hasLegacyTable("filter") {
		return
	}
	now.drops, now.rules = true, true
	bars, _ := f.legacyForward()
	now.bars = now.bars || bars
	now.isolates = now.isolates || f.legacyMentions("filter", isolationFirst)
}

func (now *forwarding) lookAt(c *conn, f family) error {
	exists, drops, err := c.policyOf(f.filterTable(), forwardChain)
	if !exists {
		return err
	}
	isolates, err := c.hasChain(f.filterTable(), isolationFirst)
	if err != nil {
		return err
	}
	now.isolates = now.isolates || isolates
	if drops {
		now.drops, now.bars, now.rules = true, true, true
		return nil
	}
	return now.lookAtRules(c, f)
}

// lookAtRules counts one that cannot be parsed, too: what it does matters only to who
// asks for the last one.
func (now *forwarding) lookAtRules(c *conn, f family) error {
	chain := f.filterChain(forwardChain)
	rules, err := c.GetRules(chain.Table, chain)
	if err == nil {
		_, bars := barrierOf(chain, rules)
		now.bars, now.rules = now.bars || bars, now.rules || len(rules) > 0
		return nil
	}
	now.unclear = fmt.Errorf("chain %s of table %s filter: %w", chain.Name, familyName(f.table), explain(err))
	hasRules, err := c.hasRules(chain.Table, chain.Name)
	now.rules = now.rules || hasRules
	return err
}

// CloseGate removes what any backend has written for the owner. Known are the
// addresses of the attachment, as far as they are known: what older versions of
// the plugins wrote is found by nothing else. The ingress policies of bridges
// stay.
//
// A missing backend, table or program is no error. It goes on after an error.
func CloseGate(ctx context.Context, owner plugin.Owner, known []netip.Addr) error {
	errs := []error{ifNFTables(ctx, func(c *conn) error {
		var errs []error
		for _, f := range families() {
			errs = append(errs,
				f.passing().remove(ctx, c, owner.Comment(), nil),
				f.closeInNFT(ctx, c, passageRecord(owner), f.singles(known)),
			)
		}
		return errors.Join(errs...)
	})}
	errs = append(errs, forEachFamily(func(f family) error { return f.closeInLegacy(ctx, passageRecord(owner), f.singles(known)) }))
	return errors.Join(errs...)
}

// nobodys returns those of the addresses that nobody has recorded.
func (f family) nobodys(c *conn, addrs []netip.Prefix) ([]netip.Addr, error) {
	if len(addrs) == 0 {
		return nil, nil
	}
	recorded, err := f.addressesInRecords(c)
	if err != nil {
		return nil, explain(err)
	}
	var free []netip.Addr
	for _, prefix := range addrs {
		there, err := c.element(f.passing().set(f.passing().subjects), prefix.Addr().AsSlice())
		if err != nil {
			return nil, err
		}
		if there == nil && !slices.Contains(recorded, prefix.Addr()) {
			free = append(free, prefix.Addr())
		}
	}
	return free, nil
}

// GCGates removes what attachments of the network that are not valid any more
// have left, in the shapes that CloseGate finds by owner, and the policies of
// bridges that are gone. It goes on after an error.
func GCGates(ctx context.Context, attachments plugin.Attachments) error {
	errs := []error{ifNFTables(ctx, func(c *conn) error {
		var errs []error
		for _, f := range families() {
			errs = append(errs, f.passing().gc(ctx, c, attachments), f.gcPassagesInNFT(ctx, c, attachments))
		}
		return errors.Join(errs...)
	})}
	errs = append(errs, forEachFamily(func(f family) error { return f.gcPassagesInLegacy(ctx, attachments) }))
	return errors.Join(append(errs, gcIngress(ctx))...)
}
