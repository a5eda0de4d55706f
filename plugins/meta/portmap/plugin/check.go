// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// checkPorts compares the rules with what ADD would write.
func checkPorts(ctx context.Context, req *plugin.Request, c *Config) error {
	ports := plan(req, c)
	if len(ports.Mappings) == 0 {
		return nil
	}
	var report check.Report
	backend, differences, err := differences(ctx, req.Owner(), c, ports)
	report.Fail("port mappings", err)
	for _, difference := range differences {
		report.Addf("port mappings: %s", difference)
	}
	checkLoopback(&report, intended{Backend: backend, Ports: ports})
	if store().Left(req.Owner()) != nil { // upstream guards nothing
		checkLoopbackGuard(ctx, &report, ports)
	}
	return report.Err()
}

// differences looks where ADD has written, and returns with which backend that
// was. Of an attachment that no ADD of ours has remembered, upstream's may have
// written the rules; then the backend is "" if it was nftables, of which
// upstream's rules are others than ours.
func differences(ctx context.Context, owner plugin.Owner, c *Config, ports netfilter.HostPorts) (name string, differences []string, err error) {
	name = c.backend()
	var known netfilter.Holders = holders{}
	if i := store().Get(owner); i != nil {
		was := store().Decode(*i)
		own := was.of(c.entry())
		name, known = own.Backend, netfilter.Besides(known, owner, besides(was.all(), own.Entry))
	} else {
		written, differences, err := netfilter.WrittenByUpstream(ctx, owner, ports)
		if err != nil || written == netfilter.NFTables {
			return "", differences, err
		}
		if written == netfilter.IPTables {
			name = written
		}
	}
	backend, err := netfilter.SelectPortMapper(name)
	if err != nil {
		return "", nil, err
	}
	differences, err = backend.CheckPorts(ctx, owner, ports, known)
	return backend.Name(), differences, err
}
