// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Heal puts back the mappings of live containers that somebody has flushed, on
// the host whose network namespace the calling thread is in, and returns whose
// they were. It may be called at any time; what is in place is left alone.
func Heal(ctx context.Context) ([]plugin.Owner, error) { return restore(ctx, store().Alive()) }

// handOver has the ports that the owner had lead to other interfaces of the same
// container that were to have them, too. With iptables the rules of all are there.
func handOver(ctx context.Context, owner plugin.Owner) {
	heirs := slices.DeleteFunc(store().OfContainerAnywhere(owner.ContainerID), func(i intent.Intent) bool {
		return i.Owner() == owner || i.Gone() || len(byBackend([]intent.Intent{i})[netfilter.NFTables]) == 0
	})
	if _, err := restore(ctx, heirs); err != nil {
		plugin.Logf("portmap", "ports of %s lead to no other interface of the container: %v", owner.Comment(), err)
	}
}

// restore makes the rules what they are meant to be, and returns the owners for
// which they were not.
func restore(ctx context.Context, all []intent.Intent) (restored []plugin.Owner, err error) {
	var errs []error
	sorted := byBackend(all)
	for _, name := range slices.Sorted(maps.Keys(sorted)) {
		owners, err := restoreWith(ctx, name, sorted[name])
		errs = append(errs, err)
		restored = intent.Union(restored, owners)
	}
	return restored, errors.Join(errs...)
}

// byBackend sorts what was mapped by the backend that did.
func byBackend(all []intent.Intent) map[string][]netfilter.OwnedPorts {
	sorted := map[string][]netfilter.OwnedPorts{}
	for _, i := range all {
		entries := store().Decode(i).all()
		for _, d := range entries {
			if len(d.Ports.Mappings) > 0 {
				sorted[d.Backend] = append(sorted[d.Backend], netfilter.OwnedPorts{
					Owner: i.Owner(), Ports: d.Ports, Beside: besides(entries, d.Entry),
					Current: func() bool { return store().Holds(i) },
				})
			}
		}
	}
	return sorted
}

func restoreWith(ctx context.Context, name string, mapped []netfilter.OwnedPorts) ([]plugin.Owner, error) {
	backend, err := netfilter.SelectPortMapper(name)
	if err != nil {
		return nil, err
	}
	restored, err := backend.RestorePorts(ctx, mapped, holders{})
	errs := []error{err}
	var mended, late []netfilter.OwnedPorts
	guard := oncePerDevice(func(device string) error { return netfilter.RestoreLoopbackGuard(ctx, device) })
	for _, m := range mapped {
		current, written := m.Current(), slices.Contains(restored, m.Owner)
		switch {
		case current && written:
			mended = append(mended, m)
		case written:
			late = append(late, m)
		}
		if current {
			errs = append(errs, routeLoopback(intended{Backend: name, Ports: m.Ports}, guard)) // which goes without the rules, too
		}
	}
	for _, m := range late {
		restored = slices.DeleteFunc(restored, func(o plugin.Owner) bool { return o == m.Owner })
	}
	forgetUntranslated(mended)
	return restored, errors.Join(append(errs, takeBack(ctx, name, late))...)
}

// oncePerDevice calls guard for each device once: most attachments have the same.
func oncePerDevice(guard func(device string) error) func(device string) error {
	outcomes := map[string]error{}
	return func(device string) error {
		outcome, done := outcomes[device]
		if !done {
			outcome = guard(device)
			outcomes[device] = outcome
		}
		return outcome
	}
}

// takeBack undoes what was restored although a DEL, or another ADD, had come in
// between. Whose mappings were taken for it gets them back.
func takeBack(ctx context.Context, backend string, late []netfilter.OwnedPorts) error {
	if len(late) == 0 {
		return nil
	}
	var errs []error
	for _, m := range late {
		_, err := netfilter.RemovePorts(ctx, m.Owner, netfilter.Mapped{Ports: intended{Backend: backend, Ports: m.Ports}.removable()}, holders{})
		errs = append(errs, err)
	}
	_, err := restore(ctx, slices.DeleteFunc(store().Alive(), func(i intent.Intent) bool { return !harmed(i, late) }))
	return errors.Join(append(errs, err)...)
}

// harmed tells whether an attachment may have lost mappings to what was restored
// and removed: only who has the address takes those of others.
func harmed(i intent.Intent, late []netfilter.OwnedPorts) bool {
	all := store().Decode(i).all()
	return slices.ContainsFunc(late, func(m netfilter.OwnedPorts) bool {
		return m.Owner == i.Owner() || slices.ContainsFunc(all, func(d intended) bool { return m.Ports.LeadWhere(d.Ports) })
	})
}

// lostOf says what is missing of the rules of an attachment.
func lostOf(ctx context.Context, i intent.Intent) (lost []string, err error) {
	for name, mapped := range byBackend([]intent.Intent{i}) {
		backend, err := netfilter.SelectPortMapper(name)
		if err != nil {
			return nil, err
		}
		for _, m := range mapped {
			differences, err := backend.CheckPorts(ctx, m.Owner, m.Ports, netfilter.Besides(holders{}, m.Owner, m.Beside))
			if err != nil {
				return nil, err
			}
			lost = append(lost, differences...)
		}
	}
	return lost, nil
}

// reportLost says on standard error when mappings have been flushed.
func reportLost(ctx context.Context) {
	backendsOf := func(i intent.Intent) string {
		return strings.Join(slices.Sorted(maps.Keys(byBackend([]intent.Intent{i}))), ",")
	}
	store().ReportLost("mappings", backendsOf, func(i intent.Intent) ([]string, error) { return lostOf(ctx, i) })
}
