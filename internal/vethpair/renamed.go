// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vethpair

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// refuseRenamed returns an error if the other end of host is in the container.
// Under the name that the runtime asked for it would itself have been in the way,
// so it is in use under another.
func refuseRenamed(req *plugin.Request, host netlink.Link) error {
	index := host.Attrs().ParentIndex
	if index == 0 { // an old kernel and an end with the same index
		return nil
	}
	return req.InNetns(func() error {
		end, err := link.FindByIndex(index)
		if errors.Is(err, link.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if end.Type() != "veth" || end.Attrs().ParentIndex != host.Attrs().Index {
			return nil
		}
		return fmt.Errorf("the container has its interface already, which somebody has renamed from %s to %s; delete the attachment first",
			req.IfName, end.Attrs().Name)
	})
}
