// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"errors"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// shaped names the host's end that has a shaper of ours. Nothing in the kernel says
// whose that is: an administrator's may look the same. It is empty where only devices
// shape, which say so themselves.
type shaped struct {
	Index int    `json:"index,omitempty"`
	Name  string `json:"name,omitempty"`
	Entry string `json:"entry,omitempty"` // of the list, which had it shaped
}

func (s shaped) is(l netlink.Link) bool {
	return s.Index == l.Attrs().Index && s.Name == l.Attrs().Name
}

func store() intent.Kept[shaped] { return intent.KeptBy[shaped]("bandwidth") }

// remember keeps that traffic is about to be limited, for cni-plugins gc, and which
// link will be shaped. Without it, the shaper is known as upstream's are.
func remember(req *plugin.Request, p plan, host netlink.Link, entry string) {
	var about shaped
	if p.shapesHost() {
		about = shaped{host.Attrs().Index, host.Attrs().Name, entry}
	}
	store().Remember(req, about, "the limit of what "+req.Owner().Comment()+" receives will not be found unless it is still configured")
	req.Undo.Push("record of "+host.Attrs().Name, func() error { return store().Delete(req.Owner()) })
}

// release removes the shaper from the link that was kept, should that be there
// still, and then the record. host is what leads there through the container, or
// nil.
func release(owner plugin.Owner, host netlink.Link) error {
	if err := unshapeRemembered(owner, host); err != nil {
		return err
	}
	return store().Delete(owner)
}

// unshapeRemembered does the first of that. The number of a link may be another's
// by now: then it has another name, and the container does not lead there.
func unshapeRemembered(owner plugin.Owner, host netlink.Link) error {
	kept := store().Left(owner)
	if kept == nil {
		return nil
	}
	was, err := store().Content(*kept)
	if err != nil || was.Index == 0 {
		return nil // nobody knows what that is about, or it is about devices
	}
	if host != nil && host.Attrs().Index == was.Index { // whatever its name
		return unshape(host)
	}
	found, err := link.FindByIndex(was.Index)
	if errors.Is(err, link.ErrNotFound) || err == nil && found.Attrs().Name != was.Name {
		return nil
	}
	if err != nil {
		return err
	}
	return unshape(found)
}

// isRecorded tells whether a link has a shaper by an attachment's record.
func isRecorded(l netlink.Link) bool {
	return slices.ContainsFunc(store().List(), func(kept intent.Intent) bool {
		was, err := store().Content(kept)
		return err == nil && was.is(l)
	})
}
