// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// areUpstreams tells whether the devices of an attachment are of upstream, which
// does not mark them. All of an attachment are, or none.
func areUpstreams(devices []netlink.Link) bool {
	return len(devices) > 0 && devices[0].Attrs().Alias == ""
}

// unshapeUpstreams removes a shaper from l that is without a record, as those of
// upstream are. Kind and handle are what anybody would choose, so that it also has
// to have been computed as they are.
func unshapeUpstreams(l netlink.Link) error {
	root, err := qdiscAt(l, netlink.HANDLE_ROOT)
	if err != nil || root == nil || root.Handle != rootHandle {
		return err
	}
	computed, err := isComputed(l, root.Type())
	if err != nil || !computed || isRecorded(l) {
		return err
	}
	return deleteQdisc(root)
}

// isComputed tells whether the root queueing discipline of l, of a kind, has the
// numbers of a shaper.
func isComputed(l netlink.Link, kind string) (bool, error) {
	switch kind {
	case "tbf":
		root, err := rootQdisc(l)
		tbf, ok := root.(*netlink.Tbf)
		return ok && isComputedTbf(tbf), err
	case "htb":
		classes, err := netlinksafe.ClassList(l, rootHandle)
		return slices.ContainsFunc(classes, isLegacyClass), err
	}
	return false, nil
}

// isComputedTbf tells whether the limit of a tbf is its burst and what is sent
// within the latency.
func isComputedTbf(root *netlink.Tbf) bool {
	s := shaper{rate: root.Rate}
	s.burst = uint64(root.Limit - s.upstreamLimit())
	return s.active() && s.hasBuffer(root.Buffer)
}

// legacyClass is the number that upstream 1.5.0 and 1.5.1 give to the class of
// what is limited.
const legacyClass = rootHandle + 48

// isLegacyClass tells whether a class is that one. It may borrow as much as it has.
func isLegacyClass(class netlink.Class) bool {
	htb, ok := class.(*netlink.HtbClass)
	return ok && htb.Handle == legacyClass && htb.Parent == netlink.HANDLE_ROOT && htb.Ceil == 2*htb.Rate
}
