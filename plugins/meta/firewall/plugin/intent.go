// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
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
}

func store() intent.Kept[intended] { return intent.KeptBy[intended]("firewall") }

// remember keeps what the attachment's rules are meant to be.
func remember(req *plugin.Request, what intended) {
	store().Remember(req, what, "the rules of "+req.Owner().Comment()+" cannot be put back when somebody flushes them")
}

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
		for _, i := range alike {
			passages = append(passages, passageOf(i, policies))
		}
		owners, err := restoreWith(ctx, store().Decode(alike[0]), passages)
		restored, errs = append(restored, owners...), append(errs, err)
	}
	return restored, errors.Join(errs...)
}

func passageOf(i intent.Intent, policies map[string]string) netfilter.OwnedPassage {
	return netfilter.OwnedPassage{
		Owner: i.Owner(), Passage: store().Decode(i).following(policies).Passage,
		Current: func() bool { return store().Holds(i) },
	}
}

// byGate sorts intents by the gate that has opened.
func byGate(all []intent.Intent) [][]intent.Intent {
	var sorted [][]intent.Intent
	at := map[[3]string]int{}
	for _, i := range all {
		was := store().Decode(i)
		gate := [3]string{was.Backend, was.Zone, strconv.FormatBool(was.Automatic)}
		if _, known := at[gate]; !known {
			at[gate] = len(sorted)
			sorted = append(sorted, nil)
		}
		sorted[at[gate]] = append(sorted[at[gate]], i)
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
			restored = slices.DeleteFunc(restored, func(o plugin.Owner) bool { return o == p.Owner })
			late = append(late, p)
		}
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
	was := store().Decode(i).Passage
	return slices.ContainsFunc(opened, func(p netfilter.OwnedPassage) bool {
		return p.Owner == i.Owner() || p.Passage.Ingress.Policy != "" && p.Passage.Ingress.Bridge == was.Ingress.Bridge ||
			slices.ContainsFunc(was.Addrs, func(addr netip.Addr) bool { return slices.Contains(p.Passage.Addrs, addr) })
	})
}

// latestPolicies returns the ingress policies of bridges, which the ADD that was
// last has decided.
func latestPolicies(all []intent.Intent) map[string]string {
	policies, since := map[string]string{}, map[string]time.Time{}
	for _, i := range all {
		was := store().Decode(i)
		ingress := was.Passage.Ingress
		if ingress.Policy != "" && !was.Since.Before(since[ingress.Bridge]) {
			policies[ingress.Bridge], since[ingress.Bridge] = ingress.Policy, was.Since
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

// lost says what is missing of the rules of an attachment.
func (was intended) lost(ctx context.Context, owner plugin.Owner) ([]string, error) {
	gate, err := was.gate(ctx)
	if err != nil {
		return nil, err
	}
	return gate.Check(ctx, owner, was.Passage)
}

// reportLost says on standard error when rules have been flushed.
func reportLost(ctx context.Context) {
	policies := latestPolicies(store().List())
	backendOf := func(i intent.Intent) string { return store().Decode(i).Backend }
	store().ReportLost("rules", backendOf, func(i intent.Intent) ([]string, error) {
		return store().Decode(i).following(policies).lost(ctx, i.Owner())
	})
}
