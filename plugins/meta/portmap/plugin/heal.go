// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"fmt"
	"os"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Heal puts back the mappings of live containers that somebody has flushed, on
// the host whose network namespace the calling thread is in, and returns whose
// they were. It may be called at any time; what is in place is left alone.
func Heal(ctx context.Context) ([]plugin.Owner, error) {
	return store().Heal(func(i intent.Intent) (bool, error) { return restore(ctx, i) })
}

// healNetwork does so for the valid attachments of a network.
func healNetwork(ctx context.Context, valid plugin.Attachments) error {
	return store().HealNetwork(valid, func(i intent.Intent) (bool, error) { return restore(ctx, i) })
}

// restore makes the rules what they are meant to be, and tells whether they were
// not.
func restore(ctx context.Context, i intent.Intent) (lost bool, err error) {
	backend, differences, err := lostOf(ctx, i)
	if err != nil || len(differences) == 0 {
		return false, err
	}
	d := decode(i)
	if err := backend.MapPorts(ctx, i.Owner(), d.Ports, holders{}); err != nil {
		return true, fmt.Errorf("%s: %w", i.Owner().Comment(), err)
	}
	if store().Get(i.Owner()) == nil { // a DEL has come in between
		_, err := netfilter.RemovePorts(ctx, i.Owner(), netfilter.Mapped{Ports: &d.Ports}, holders{})
		return false, err
	}
	return true, routeLoopback(d.Ports)
}

// lostOf says what is missing of the rules of an attachment.
func lostOf(ctx context.Context, i intent.Intent) (netfilter.PortMapper, []string, error) {
	d := decode(i)
	if len(d.Ports.Mappings) == 0 {
		return nil, nil, nil
	}
	backend, err := netfilter.SelectPortMapper(ctx, d.Backend)
	if err != nil {
		return nil, nil, err
	}
	differences, err := backend.CheckPorts(ctx, i.Owner(), d.Ports, holders{})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", i.Owner().Comment(), err)
	}
	return backend, differences, nil
}

// reportLost says on standard error when mappings have been flushed. One of each
// backend stands for all: chains are flushed together.
func reportLost(ctx context.Context) {
	for _, i := range store().Samples(func(i intent.Intent) string { return decode(i).Backend }) {
		if _, differences, err := lostOf(ctx, i); err == nil && len(differences) > 0 {
			fmt.Fprintf(os.Stderr, "portmap: mappings were flushed, a GC of their networks puts them back: %s: %s\n", i.Owner().Comment(), differences[0])
		}
	}
}
