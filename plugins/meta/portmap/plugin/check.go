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
	differences, err := differences(ctx, req.Owner(), c, ports)
	report.Fail("port mappings", err)
	for _, difference := range differences {
		report.Addf("port mappings: %s", difference)
	}
	checkLoopback(&report, ports)
	return report.Err()
}

// differences looks where ADD has written. Of an attachment that no ADD of ours
// has remembered, upstream's may have written the rules.
func differences(ctx context.Context, owner plugin.Owner, c *Config, ports netfilter.HostPorts) ([]string, error) {
	name := c.backend()
	if i := store().Get(owner); i != nil {
		name = decode(*i).Backend
	} else {
		written, differences, err := netfilter.WrittenByUpstream(ctx, owner, ports)
		if err != nil || written == netfilter.NFTables {
			return differences, err
		}
		if written == netfilter.IPTables {
			name = written
		}
	}
	backend, err := netfilter.SelectPortMapper(ctx, name)
	if err != nil {
		return nil, err
	}
	return backend.CheckPorts(ctx, owner, ports, holders{})
}
