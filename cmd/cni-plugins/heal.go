// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"io"

	bridge "github.com/containernetworking/plugins/plugins/main/bridge/plugin"
	firewall "github.com/containernetworking/plugins/plugins/meta/firewall/plugin"
	portmap "github.com/containernetworking/plugins/plugins/meta/portmap/plugin"

	"github.com/containernetworking/plugins/internal/masquerade"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// heal puts back what is missing, for all attachments of this network namespace, and
// says whose it was.
func heal(ctx context.Context, stdout, stderr io.Writer) (status int) {
	if _, ok := healAll(ctx, stdout, stderr); !ok {
		return 1
	}
	return 0
}

// healAll has the plugins that keep what their rules are meant to be put back those
// that are missing. It tells whether any were, and whether all went well.
func healAll(ctx context.Context, stdout, stderr io.Writer) (healed, ok bool) {
	ok = true
	for _, healer := range []struct {
		name string
		heal func(context.Context) ([]plugin.Owner, error)
	}{{"firewall", firewall.Heal}, {"portmap", portmap.Heal}, {"masquerading", masquerade.Heal}, {"MAC spoof check", bridge.Heal}} {
		owners, err := healer.heal(ctx)
		for _, owner := range owners {
			fmt.Fprintf(stdout, "%s: put back the rules of %s\n", healer.name, owner.Comment())
			healed = true
		}
		if err != nil {
			fmt.Fprintf(stderr, "cni-plugins: heal %s: %v\n", healer.name, err)
			ok = false
		}
	}
	return healed, ok
}
