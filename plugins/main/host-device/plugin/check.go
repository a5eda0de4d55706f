// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"context"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// check compares the interface with what ADD reported. It has to be one that can
// be brought home. A device in userspace has no interface to look at.
func (root sysfs) check(ctx context.Context, req *plugin.Request, c *Config) error {
	at, err := root.locate(c)
	if err != nil {
		return err
	}
	var report check.Report
	report.Fail("ipam", req.IPAM.Check(ctx))
	if root.isUserspace(at, c) {
		return report.Err()
	}
	found := containerlink.Check(&report, req, containerlink.Want{Up: true})
	if found != nil && !known(found).marked && found.Attrs().Alias == "" {
		report.Addf("%s: the interface does not say what it is called on the host", req.IfName)
	}
	return report.Err()
}
