// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// others is what other entries of the list have made for the attachment, in a
// direction that this one does not limit.
type others struct {
	shaper     bool        // that of the host's end
	redirected []direction // what has to be redirected again: a link has one hook
}

// findOthers tells that from what is stale. The device of an entry before this one
// is in prevResult, as ADD begins without one; its shaper is known by the record,
// and taken for stale if an entry with the same limits has made it.
func findOthers(req *plugin.Request, p plan, host netlink.Link, entry string, devices []netlink.Link) (found others, stale []netlink.Link, err error) {
	if was, kept := store().Recall(req.Owner()); kept && !p.ingress.active() {
		found.shaper = was.is(host) && was.Entry != entry
	}
	var theirs []direction
	for _, device := range devices {
		d, ours := direction{device: device, parent: netlink.HANDLE_MIN_INGRESS}, p.egress.active()
		if device.Attrs().Name == ingressName(req.Owner()) {
			d.parent, ours = netlink.HANDLE_MIN_EGRESS, p.ingress.active()
		}
		if ours || !isPrevious(req, device) {
			stale = append(stale, device)
		} else {
			theirs = append(theirs, d)
		}
	}
	if len(theirs) > 0 && (len(stale) > 0 || len(p.byDevice(req.Owner())) > 0) {
		found.redirected, err = takeDown(req, host, theirs)
	}
	return found, stale, err
}

// takeDown removes the hook with what leads to the devices of others, and returns
// what that is.
func takeDown(req *plugin.Request, host netlink.Link, theirs []direction) ([]direction, error) {
	hook, err := qdiscAt(host, netlink.HANDLE_INGRESS)
	if err != nil || hook == nil {
		return nil, err
	}
	var redirected []direction
	for _, d := range theirs {
		have, err := filtersAt(host.Attrs().Index, d.parent)
		if err != nil {
			return nil, err
		}
		leads := false
		for _, u := range have {
			index, _ := target(u)
			leads = leads || index == d.device.Attrs().Index
			d.filters = append(d.filters, filterOf(u))
		}
		if leads {
			redirected = append(redirected, d)
		}
	}
	if redirected == nil {
		return nil, nil
	}
	req.Undo.Push("filters of other entries", func() error { return redirect(host, hook.Type(), redirected) })
	return redirected, deleteQdisc(hook)
}
