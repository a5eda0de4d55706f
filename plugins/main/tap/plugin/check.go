// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tap

import (
	"context"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

func checkAttachment(ctx context.Context, req *plugin.Request, c *Config) error {
	compare := func(report *check.Report, l netlink.Link) {
		c.compare(report, l.(*netlink.Tuntap))
		report.Fail(req.IfName, req.InNetns(func() error { return c.comparePort(report, l) }))
	}
	return childlink.Check(ctx, req, childlink.Kind{Type: linkType, Compare: compare})
}

// compare notes what is different about the properties of a tap interface.
func (c *Config) compare(report *check.Report, have *netlink.Tuntap) {
	report.Equal(have.Name, "mode", netlink.TuntapMode(netlink.TUNTAP_MODE_TAP).String(), have.Mode.String())
	report.Equal(have.Name, "persistence", true, !have.NonPersist)
	report.Equal(have.Name, "multiQueue", c.MultiQueue, have.Flags&netlink.TUNTAP_MULTI_QUEUE != 0)
	if c.Owner != nil {
		report.Equal(have.Name, "owner", *c.Owner, have.Owner)
	}
	if c.Group != nil {
		report.Equal(have.Name, "group", *c.Group, have.Group)
	}
}

// comparePort notes if the interface is no port of the bridge.
func (c *Config) comparePort(report *check.Report, l netlink.Link) error {
	if c.Bridge == "" {
		return nil
	}
	bridge, err := link.Find(c.Bridge)
	if err != nil {
		return err
	}
	if l.Attrs().MasterIndex != bridge.Attrs().Index {
		report.Addf("%s: the interface is no port of %s", l.Attrs().Name, c.Bridge)
	}
	return nil
}
