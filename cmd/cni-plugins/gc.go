// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/masquerade"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/netnsalive"
	"github.com/containernetworking/plugins/pkg/plugin"
	hostlocal "github.com/containernetworking/plugins/plugins/ipam/host-local/plugin"
	bridge "github.com/containernetworking/plugins/plugins/main/bridge/plugin"
)

// gc is for runtimes that do not know the command GC. It takes back what containers
// have left in this network namespace that no DEL came for: those whose own network
// namespace does not exist any more. Unlike GC, it knows nothing of containers of
// which no plugin keeps a note. dataDir is that of host-local.
func gc(ctx context.Context, dataDir string, stdout, stderr io.Writer) (status int) {
	var errs []error
	for _, left := range []struct {
		name     string
		takeBack func(context.Context) ([]plugin.Owner, error)
	}{
		{"portmap", byDEL("portmap")}, {"firewall", byDEL("firewall")}, {"bandwidth", byDEL("bandwidth")}, {"vrf", byDEL("vrf")},
		{"masquerading", masquerade.TakeBack}, {"MAC spoof check", bridge.TakeBack},
	} {
		owners, err := left.takeBack(ctx)
		for _, owner := range owners {
			fmt.Fprintf(stdout, "%s: took back what %s has left\n", left.name, owner.Comment())
		}
		if errors.Is(err, netnsalive.ErrUnseen) {
			errs = append(errs, err)
			break // with the others it would be the same
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", left.name, err))
		}
	}
	if err := netfilter.DropUnused(ctx); err != nil {
		errs = append(errs, fmt.Errorf("portmap: %w", err))
	}
	// Last: no address is freed to which ports lead.
	if err := errors.Join(append(errs, hostlocal.Reclaim(dataDir))...); err != nil {
		fmt.Fprintf(stderr, "cni-plugins: gc: %v\n", err)
		return 1
	}
	return 0
}

// byDEL returns what calls the DEL that nobody has sent.
func byDEL(name string) func(context.Context) ([]plugin.Owner, error) {
	return func(ctx context.Context) ([]plugin.Owner, error) {
		return intent.Of(name).TakeBack(func(i intent.Intent) error { return detach(ctx, name, i.Owner()) })
	}
}

// detach calls the DEL of a plugin for an attachment, which needs no more than names.
func detach(ctx context.Context, name string, owner plugin.Owner) error {
	conf, err := json.Marshal(map[string]string{"cniVersion": "1.0.0", "name": owner.Network, "type": name})
	if err != nil {
		return err
	}
	p := plugins()[name]
	return p.Call(ctx, "DEL", &skel.CmdArgs{ContainerID: owner.ContainerID, IfName: owner.IfName, StdinData: conf}, io.Discard)
}
