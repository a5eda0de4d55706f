// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// intended is what the store keeps for an attachment.
type intended struct {
	Backend string            `json:"backend"`
	Zone    string            `json:"zone"` // of firewalld
	Passage netfilter.Passage `json:"passage"`
	Since   time.Time         `json:"since"` // of ADDs for one bridge the last decides about its policy
}

func store() intent.Store { return intent.Of("firewall") }

// remember keeps what the attachment's rules are meant to be. Without it they
// work, but nobody could put them back: that is said, and no reason to fail.
func remember(req *plugin.Request, what intended) error {
	i, err := intent.New(req, what)
	if err != nil {
		return err
	}
	if err := store().Put(i); err != nil {
		fmt.Fprintf(os.Stderr, "firewall: the rules of %s cannot be put back when somebody flushes them: %v\n", req.Owner().Comment(), err)
	}
	return nil
}

// recall returns what remember has kept.
func recall(owner plugin.Owner) (was intended, remembered bool) {
	i := store().Get(owner)
	if i == nil {
		return intended{}, false
	}
	return decode(*i), true
}

func decode(i intent.Intent) intended {
	var decoded intended
	_ = json.Unmarshal(i.Content, &decoded) // whoever wrote something else gets nothing back
	return decoded
}

// addressesOfOthers returns the addresses of all live attachments but one.
func addressesOfOthers(owner plugin.Owner) []netip.Addr {
	var addrs []netip.Addr
	for _, i := range store().List() {
		if i.Owner() != owner && !i.Gone() {
			addrs = append(addrs, decode(i).Passage.Addrs...)
		}
	}
	return addrs
}

// Heal puts back what live containers have lost of their rules, on the host whose
// network namespace the calling thread is in, and returns whose they were. It may
// be called at any time; what is in place is left alone.
func Heal(ctx context.Context) ([]plugin.Owner, error) { return store().Heal(restorer(ctx)) }

// restorer returns what makes the rules of an attachment what they are meant to
// be, and tells whether they were not.
func restorer(ctx context.Context) func(intent.Intent) (lost bool, err error) {
	policies := latestPolicies(store().List())
	return func(i intent.Intent) (bool, error) {
		was := decode(i).following(policies)
		gate, differences, err := was.lost(ctx, i.Owner())
		if err == nil && len(differences) > 0 {
			err = gate.Open(ctx, i.Owner(), was.Passage)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", i.Owner().Comment(), err)
		}
		return len(differences) > 0, err
	}
}

// latestPolicies returns the ingress policies of bridges, which the ADD that was
// last has decided.
func latestPolicies(all []intent.Intent) map[string]string {
	policies, since := map[string]string{}, map[string]time.Time{}
	for _, i := range all {
		was := decode(i)
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
func (was intended) lost(ctx context.Context, owner plugin.Owner) (netfilter.Gate, []string, error) {
	gate, err := selectGate(ctx, was.Backend, was.Zone)
	if err != nil {
		return nil, nil, err
	}
	differences, err := gate.Check(ctx, owner, was.Passage)
	return gate, differences, err
}

// reportLost says on standard error when rules have been flushed.
func reportLost(ctx context.Context) {
	policies := latestPolicies(store().List())
	for _, i := range store().Samples(func(i intent.Intent) string { return decode(i).Backend }) {
		if _, differences, err := decode(i).following(policies).lost(ctx, i.Owner()); err == nil && len(differences) > 0 {
			fmt.Fprintf(os.Stderr, "firewall: rules were flushed, a GC of their networks puts them back: %s: %s\n", i.Owner().Comment(), differences[0])
		}
	}
}
