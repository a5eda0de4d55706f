// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vrf

import (
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// note keeps an attachment's baggage in a file, for as long as the interface is
// on its way: what the kernel has dropped nobody knows otherwise, should this
// process be killed. The next command takes the way to its end.
type note struct {
	req   *plugin.Request
	store intent.Kept[baggage]
}

func store() intent.Kept[baggage] { return intent.KeptBy[baggage]("vrf") }

// noteOf returns the note of an attachment. It has to be called on the host.
func noteOf(req *plugin.Request) note {
	return note{req, intent.Kept[baggage]{Store: store().Pinned()}}
}

// write keeps the baggage. A note that cannot be written is missed only after a
// kill.
func (n note) write(b baggage) {
	n.store.Remember(n.req, b, "should this process be killed, "+n.req.Owner().Comment()+" may lose its routes")
}

// read returns the baggage with which l has not arrived, or none. The number of a
// namespace is given again as soon as it is free, and in a container that was
// started anew the link has the index of the one before.
func (n note) read(l netlink.Link) baggage {
	kept := n.store.Get(n.req.Owner())
	if kept == nil || !kept.Enters(n.req) {
		return baggage{}
	}
	b, err := n.store.Content(*kept)
	if err != nil || b.Link != l.Attrs().Index || b.MAC != l.Attrs().HardwareAddr.String() {
		return baggage{}
	}
	return b
}

// keep writes what the interface still lacks. With all it had, it needs no note.
func (n note) keep(missing baggage) error {
	if missing.Link == 0 {
		return n.remove()
	}
	n.write(missing)
	return nil
}

// remove is for an interface that has arrived, with all it had.
func (n note) remove() error { return n.store.Delete(n.req.Owner()) }

// removeStaleNotes removes those of attachments that are no longer valid.
func removeStaleNotes(valid plugin.Attachments) error {
	return store().Collect(valid, func(plugin.Owner) error { return nil })
}
