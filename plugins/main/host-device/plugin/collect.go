// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// collect brings home what belongs to attachments of the network that are no longer
// valid: what bears their marks on the host, and what is on record, from namespaces
// that are still there as well.
func collect(valid plugin.Attachments) error {
	failed, err := collectMarked(valid)
	if failed == nil && err != nil {
		return err
	}
	return errors.Join(err, collectRecorded(valid, failed))
}

// collectMarked is collect for what is on the host. Of several owners' marks only
// theirs go. It returns the comments of those whose interface is not home yet.
func collectMarked(valid plugin.Attachments) (failed map[string]bool, err error) {
	links, err := netlinksafe.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the links: %w", err)
	}
	failed = map[string]bool{}
	var errs []error
	for _, l := range links {
		owners := ownerComments(l)
		stale := slices.DeleteFunc(slices.Clone(owners), func(comment string) bool { return !valid.StaleComment(comment) })
		if len(stale) == 0 {
			continue
		}
		if err := giveUp(l, owners, stale); err != nil {
			errs = append(errs, err)
			for _, comment := range stale {
				failed[comment] = true
			}
		}
	}
	return failed, errors.Join(errs...)
}

// giveUp brings an interface home that bears the marks of owners, if those that are
// stale are all of them, and removes these otherwise.
func giveUp(l netlink.Link, owners, stale []string) error {
	if len(stale) == len(owners) {
		return settleHome(onHost(l))
	}
	var marks []string
	for _, comment := range stale {
		marks = append(marks, markOf(comment))
	}
	return link.RemoveAltNames(l.Attrs().Index, marks...)
}

// collectRecorded is collect for what is on record, without those that have failed
// already: an interface that is not home yet still needs its record.
func collectRecorded(valid plugin.Attachments, failed map[string]bool) error {
	spared := valid.Owners()
	var errs []error
	for _, i := range store().List() {
		owner := i.Owner()
		if !valid.StaleComment(owner.Comment()) {
			continue
		}
		if !failed[owner.Comment()] {
			req := &plugin.Request{Plugin: "host-device", Network: owner.Network, ContainerID: owner.ContainerID, IfName: owner.IfName}
			errs = append(errs, comeHome(req, &Config{}))
		}
		spared = append(spared, owner)
	}
	errs = append(errs, store().Collect(attachments(valid.Network(), spared), func(plugin.Owner) error { return nil })) // what cannot be read
	return errors.Join(errs...)
}

func attachments(network string, owners []plugin.Owner) plugin.Attachments {
	var list []types.GCAttachment
	for _, owner := range owners {
		list = append(list, types.GCAttachment{ContainerID: owner.ContainerID, IfName: owner.IfName})
	}
	return plugin.NewAttachments(network, list)
}
