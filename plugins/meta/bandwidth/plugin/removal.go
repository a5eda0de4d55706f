// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"errors"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// clearAway removes everything of an attachment. host is its end on the host, or
// nil if it is not known by way of the container.
func clearAway(req *plugin.Request, p plan, host netlink.Link) error {
	devices, err := ownDevices(req, host)
	ends, unfound := hostEnds(req, host, devices)
	// The shaper goes before the hook, by which the ends may have to be found.
	return errors.Join(err, unfound, removeShaper(req, p, ends, host, devices), sweep(ends, devices))
}

func ownDevices(req *plugin.Request, host netlink.Link) ([]netlink.Link, error) {
	devices, err := ownIFBs(req.Owner())
	devices, unclear := withoutAnothers(req, host, devices)
	return devices, errors.Join(err, unclear)
}

// removeShaper removes the shaper from the link of the record or, without one, that
// of upstream from host's ends, if there is something that speaks for one.
func removeShaper(req *plugin.Request, p plan, ends []netlink.Link, host netlink.Link, devices []netlink.Link) error {
	recorded := store().Get(req.Owner()) != nil
	errs := []error{release(req.Owner(), host)}
	if !recorded && (p.ingress.active() || areUpstreams(devices)) {
		for _, end := range ends {
			errs = append(errs, unshapeUpstreams(end))
		}
	}
	return errors.Join(errs...)
}

// hostEnds returns host or, if that is nil, what may be the attachment's end on
// the host, by what is left of it.
func hostEnds(req *plugin.Request, host netlink.Link, devices []netlink.Link) ([]netlink.Link, error) {
	if host != nil {
		return []netlink.Link{host}, nil
	}
	ends, err := leadingTo(devices)
	left, unclear := vethpair.HostEndLeft(req)
	if left != nil {
		ends = append(ends, left)
	}
	return ends, errors.Join(err, unclear)
}

// sweep removes devices and, from host's ends, what leads to them. The devices
// come last: by them, the rest is found after a kill.
func sweep(ends, devices []netlink.Link) error {
	var errs []error
	for _, end := range ends {
		errs = append(errs, unhook(end, devices))
	}
	return errors.Join(append(errs, deleteAll(devices))...)
}

// unhook removes the hook of a host's end if it leads to one of the devices, or
// to one that is gone.
func unhook(end netlink.Link, devices []netlink.Link) error {
	hook, err := qdiscAt(end, netlink.HANDLE_INGRESS)
	if err != nil || hook == nil {
		return err
	}
	return unhookIf(hook, func(target int) bool { return target == 0 || isOneOf(devices, target) })
}

// leadingTo returns the host's ends from which packets are redirected to one of
// the devices.
func leadingTo(devices []netlink.Link) ([]netlink.Link, error) {
	if len(devices) == 0 {
		return nil, nil
	}
	all, err := hooks()
	if err != nil {
		return nil, err
	}
	var ends []netlink.Link
	var errs []error
	for _, hook := range all {
		leads, err := leadsTo(hook, func(target int) bool { return isOneOf(devices, target) })
		if !leads {
			errs = append(errs, err)
			continue
		}
		end, err := link.FindByIndex(hook.Attrs().LinkIndex)
		switch {
		case err == nil:
			ends = append(ends, end)
		case !errors.Is(err, link.ErrNotFound):
			errs = append(errs, err)
		}
	}
	return ends, errors.Join(errs...)
}

func isOneOf(devices []netlink.Link, index int) bool {
	return slices.ContainsFunc(devices, func(l netlink.Link) bool { return l.Attrs().Index == index })
}

func deleteAll(devices []netlink.Link) error {
	var errs []error
	for _, device := range devices {
		errs = append(errs, link.DeleteByIndex(device.Attrs().Index))
	}
	return errors.Join(errs...)
}

// ignoreGone makes a success of an error that says that a link, or what was on
// it, is gone.
func ignoreGone(err error) error {
	for _, gone := range []error{unix.ENODEV, unix.ENOENT, unix.EINVAL} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}
