// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vrf

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

const firstTable = 1

// find returns the VRF of the configuration, or nil if there is none yet.
func find(c *Config) (*netlink.Vrf, error) {
	l, err := link.Find(c.VRFName)
	if link.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, ok := l.(*netlink.Vrf)
	if !ok {
		return nil, plugin.Errorf(types.ErrInvalidNetworkConfig, "%s is not a VRF but a link of type %s; name another one in vrfname", c.VRFName, l.Type())
	}
	if c.Table != 0 && c.Table != found.Table {
		return nil, plugin.Errorf(types.ErrInvalidNetworkConfig,
			"VRF %s already exist with different routing table %d, the configuration has %d", c.VRFName, found.Table, c.Table)
	}
	return found, nil
}

// create makes the VRF, with a table that nobody uses unless one is given.
func create(req *plugin.Request, c *Config) (*netlink.Vrf, error) {
	table := c.Table
	if table == 0 {
		free, err := freeTable()
		if err != nil {
			return nil, err
		}
		table = uint32(free)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = c.VRFName
	err := netlink.LinkAdd(&netlink.Vrf{LinkAttrs: attrs, Table: table})
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = cmp.Or(link.Supported("vrf"), err)
	}
	if err != nil {
		return nil, fmt.Errorf("create the VRF %s with table %d: %w", c.VRFName, table, err)
	}
	req.Undo.Push("VRF "+c.VRFName, func() error { return req.InNetns(func() error { return removeEmpty(c.VRFName) }) })
	return setUp(c)
}

func setUp(c *Config) (*netlink.Vrf, error) {
	created, err := find(c)
	if err != nil {
		return nil, err
	}
	if created == nil {
		return nil, fmt.Errorf("the VRF %s was removed as soon as it had been created", c.VRFName)
	}
	if err := netlink.LinkSetUp(created); err != nil {
		return nil, fmt.Errorf("set the VRF %s up: %w", c.VRFName, err)
	}
	return created, nil
}

// freeTable returns the lowest table that has no route, no rule and no VRF.
func freeTable() (int, error) {
	routes, err := linkroutes.All()
	if err != nil {
		return 0, err
	}
	rules, err := netlinksafe.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return 0, fmt.Errorf("list the routing rules: %w", err)
	}
	used, err := linkroutes.TablesInUse(routes, rules)
	return linkroutes.FreeTable(used, firstTable), err
}

// removeEmpty removes a VRF that no interface is in. None of that name, or
// something else, is a success.
func removeEmpty(name string) error {
	if name == "" {
		return nil
	}
	links, err := netlinksafe.LinkList()
	if err != nil {
		return fmt.Errorf("list the links: %w", err)
	}
	at := slices.IndexFunc(links, func(l netlink.Link) bool { return l.Attrs().Name == name && l.Type() == "vrf" })
	if at < 0 {
		return nil
	}
	index := links[at].Attrs().Index
	if slices.ContainsFunc(links, func(l netlink.Link) bool { return l.Attrs().MasterIndex == index }) {
		return nil
	}
	return link.DeleteByIndex(index)
}
