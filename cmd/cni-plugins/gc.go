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
	"github.com/containernetworking/plugins/pkg/plugin"
	hostlocal "github.com/containernetworking/plugins/plugins/ipam/host-local/plugin"
)

// gc is for runtimes that do not know the command GC. It takes back what containers
// have left in this network namespace that no DEL came for: those whose own network
// namespace does not exist any more. Unlike GC, it knows nothing of containers of
// which no plugin keeps a note. dataDir is that of host-local.
func gc(ctx context.Context, dataDir string, stdout, stderr io.Writer) (status int) {
	var errs []error
	for _, keeper := range []string{"portmap", "firewall", "bandwidth", "masquerade", "macspoofchk", "vrf"} {
		store := intent.Of(keeper)
		lost, err := store.Lost()
		if err != nil {
			errs = append(errs, err)
			break // with the others it would be the same
		}
		for _, i := range lost {
			if !store.Has(i) { // its DEL has come, or the container is started again
				continue
			}
			if err := detach(ctx, i.Owner()); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", i.Owner().Comment(), err))
				continue
			}
			fmt.Fprintf(stdout, "took back what %s has left\n", i.Owner().Comment())
		}
	}
	// Last: no address is freed to which ports lead.
	if err := errors.Join(append(errs, hostlocal.Reclaim(dataDir))...); err != nil {
		fmt.Fprintf(stderr, "cni-plugins: gc: %v\n", err)
		return 1
	}
	return 0
}

// detach is the DEL that nobody has sent, of all plugins that leave something on the
// host. It needs no more than a name, and finds nothing where a plugin was not used;
// that of bridge does for ptp, too.
func detach(ctx context.Context, owner plugin.Owner) error {
	all := plugins()
	var errs []error
	for _, name := range []string{"vrf", "bandwidth", "firewall", "portmap", "bridge"} {
		conf, err := json.Marshal(map[string]string{"cniVersion": "1.0.0", "name": owner.Network, "type": name})
		if err == nil {
			err = all[name].Call(ctx, "DEL", &skel.CmdArgs{ContainerID: owner.ContainerID, IfName: owner.IfName, StdinData: conf}, io.Discard)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
