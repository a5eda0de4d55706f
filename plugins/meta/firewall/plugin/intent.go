// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// intended is what the store keeps for an attachment.
type intended struct {
	Backend   string            `json:"backend"`
	Automatic bool              `json:"automatic"` // the backend was chosen for the host
	Zone      string            `json:"zone"`      // of firewalld
	Passage   netfilter.Passage `json:"passage"`
	Since     time.Time         `json:"since"` // of ADDs for one bridge the last decides about its policy

	// Beside is what other entries of the same list want, if the plugin stands there
	// more than once. The last one to be added has it.
	Beside []intended `json:"beside,omitempty"`
}

func store() intent.Kept[intended] { return intent.KeptBy[intended]("firewall") }

// remember keeps what the attachment's rules are meant to be.
func remember(req *plugin.Request, what intended) {
	store().Remember(req, what, "the rules of "+req.Owner().Comment()+" cannot be put back when somebody flushes them")
}

// all is what each entry of the list wants.
func (was intended) all() []intended { return append(slices.Clone(was.Beside), was) }

// beside adds what is wanted to what was before, as far as that is of other entries and
// for the attachment as it is: the same sandbox, with the same addresses.
func (what intended) beside(req *plugin.Request, before *intent.Intent) intended {
	if before == nil || !before.Enters(req) {
		return what
	}
	for _, other := range store().Decode(*before).all() {
		if what.replaces(other) || !slices.Equal(other.Passage.Addrs, what.Passage.Addrs) {
			continue
		}
		if other.hasZone() && what.hasZone() { // firewalld has an address in one zone only
			other.Zone = what.Zone
		}
		other.Beside = nil
		what.Beside = append(what.Beside, other)
	}
	return what
}

// replaces tells whether nothing is missing of what another wants, but for its zone.
func (what intended) replaces(other intended) bool {
	return (other.Backend == what.Backend || other.Automatic && what.Automatic) &&
		other.Passage.AdminChain == what.Passage.AdminChain && other.Passage.Ingress == what.Passage.Ingress
}

// hasZone tells whether firewalld may have been told the addresses.
func (was intended) hasZone() bool { return was.Automatic || was.Backend == firewalld }

// addressesOfOthers returns the addresses of all live attachments but one.
func addressesOfOthers(owner plugin.Owner) []netip.Addr {
	var addrs []netip.Addr
	for _, i := range store().Alive() {
		if i.Owner() != owner {
			addrs = append(addrs, store().Decode(i).Passage.Addrs...)
		}
	}
	return addrs
}

// Heal puts back what live containers have lost of their rules, on the host whose
// network namespace the calling thread is in, and returns whose they were. It may
// be called at any time; what is in place is left alone.
func Heal(ctx context.Context) ([]plugin.Owner, error) { return restore(ctx, store().Alive()) }

// restore makes the rules of attachments what they are meant to be, and returns
// the owners for which they were not.
func restore(ctx context.Context, all []intent.Intent) (restored []plugin.Owner, err error) {
	policies := latestPolicies(store().List())
	var errs []error
	for _, alike := range byGate(all) {
		var passages []netfilter.OwnedPassage
		for _, e := range alike {
			passages = append(passages, e.passage(policies))
		}
		owners, err := restoreWith(ctx, alike[0].intended, passages)
		errs = append(errs, err)
		restored = intent.Union(restored, owners)
	}
	return restored, errors.Join(errs...)
}

// entry is what one entry of a list wants for an attachment.
type entry struct {
	intended
	of intent.Intent
}

func (e entry) passage(policies map[string]string) netfilter.OwnedPassage {
	return netfilter.OwnedPassage{
		Owner: e.of.Owner(), Passage: e.following(policies).Passage,
		Current: func() bool { return store().Holds(e.of) },
	}
}

// byGate sorts what is wanted by the gate that has opened.
func byGate(all []intent.Intent) [][]entry {
	var sorted [][]entry
	at := map[[3]string]int{}
	for _, i := range all {
		for _, was := range store().Decode(i).all() {
			gate := [3]string{was.Backend, was.Zone, strconv.FormatBool(was.Automatic)}
			if _, known := at[gate]; !known {
				at[gate] = len(sorted)
				sorted = append(sorted, nil)
			}
			sorted[at[gate]] = append(sorted[at[gate]], entry{was, i})
		}
	}
	return sorted
}

// restoreWith restores passages with the gate of one of them.
func restoreWith(ctx context.Context, was intended, passages []netfilter.OwnedPassage) ([]plugin.Owner, error) {
	gate, err := was.gate(ctx)
	if err != nil {
		return nil, err
	}
	restored, err := gate.Restore(ctx, passages)
	var late []netfilter.OwnedPassage
	for _, p := range passages {
		if slices.Contains(restored, p.Owner) && !p.Current() {
			late = append(late, p)
		}
	}
	for _, p := range late {
		restored = slices.DeleteFunc(restored, func(o plugin.Owner) bool { return o == p.Owner })
	}
	return restored, errors.Join(err, takeBack(ctx, late))
}

// takeBack undoes what was restored although a DEL, or another ADD, had come in
// between. Whose addresses were taken for it gets its rules back. Who is gone but
// still has an intent is left to its DEL.
func takeBack(ctx context.Context, late []netfilter.OwnedPassage) error {
	if len(late) == 0 {
		return nil
	}
	var errs []error
	for _, p := range late {
		if store().Get(p.Owner) == nil {
			errs = append(errs, removeRules(ctx, p.Owner, p.Passage.Addrs))
		}
	}
	return errors.Join(append(errs, giveBack(ctx, late))...)
}

// giveUp undoes an ADD. What its owner was meant to have before, if it was attached
// already, and others whose addresses it has taken, is put back.
func giveUp(ctx context.Context, owner plugin.Owner, p netfilter.Passage, before *intent.Intent) error {
	errs := []error{remove(ctx, owner, p.Addrs)}
	if before != nil {
		errs = append(errs, store().Put(*before))
	}
	errs = append(errs, giveBack(ctx, []netfilter.OwnedPassage{{Owner: owner, Passage: p}}))
	return errors.Join(errs...)
}

// giveBack restores those who have lost something to what was opened.
func giveBack(ctx context.Context, opened []netfilter.OwnedPassage) error {
	_, err := restore(ctx, slices.DeleteFunc(store().Alive(), func(i intent.Intent) bool { return !harmed(i, opened) }))
	return err
}

// harmed tells whether an attachment may have lost rules to what was opened: to its
// own earlier ones, too, and the policy of its bridge to another.
func harmed(i intent.Intent, opened []netfilter.OwnedPassage) bool {
	was := store().Decode(i)
	return slices.ContainsFunc(opened, func(p netfilter.OwnedPassage) bool {
		return p.Owner == i.Owner() || p.Passage.Ingress.Policy != "" && was.isAbout(p.Passage.Ingress.Bridge) ||
			slices.ContainsFunc(was.Passage.Addrs, func(addr netip.Addr) bool { return slices.Contains(p.Passage.Addrs, addr) })
	})
}

// isAbout tells whether a policy for the bridge is wanted.
func (was intended) isAbout(bridge string) bool {
	return slices.ContainsFunc(was.all(), func(e intended) bool { return e.Passage.Ingress.Bridge == bridge })
}

// latestPolicies returns the ingress policies of bridges, which the ADD that was
// last has decided.
func latestPolicies(all []intent.Intent) map[string]string {
	policies, since := map[string]string{}, map[string]time.Time{}
	for _, i := range all {
		for _, was := range store().Decode(i).all() {
			ingress := was.Passage.Ingress
			if ingress.Policy != "" && !was.Since.Before(since[ingress.Bridge]) {
				policies[ingress.Bridge], since[ingress.Bridge] = ingress.Policy, was.Since
			}
		}
	}
	return policies
}

// following has the bridge's policy be the latest.
func (was intended) following(policies map[string]string) intended {
	if was.Passage.Ingress.Policy != "" {
		was.Passage.Ingress.Policy = policies[was.Passage.Ingress.Bridge]
	}
	return was
}

// lostOf says what is missing of the rules of an attachment.
func lostOf(ctx context.Context, i intent.Intent, policies map[string]string) (lost []string, err error) {
	for _, was := range store().Decode(i).all() {
		gate, err := was.gate(ctx)
		if err != nil {
			return nil, err
		}
		differences, err := gate.Check(ctx, i.Owner(), was.following(policies).Passage)
		if err != nil {
			return nil, err
		}
		lost = append(lost, differences...)
	}
	return lost, nil
}

// reportLost says on standard error when rules have been flushed.
func reportLost(ctx context.Context) {
	policies := latestPolicies(store().List())
	backendsOf := func(i intent.Intent) string {
		var names []string
		for _, was := range store().Decode(i).all() {
			names = append(names, was.Backend)
		}
		return strings.Join(names, ",")
	}
	store().ReportLost("rules", backendsOf, func(i intent.Intent) ([]string, error) { return lostOf(ctx, i, policies) })
}
