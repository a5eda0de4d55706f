// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"errors"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
)

// sweep removes everything of an attachment from the host's end: the shaper
// before the hook, by which both may have to be found.
func sweep(host netlink.Link, devices []netlink.Link) error {
	unshaped := unshape(host)
	hook, err := qdiscAt(host, netlink.HANDLE_INGRESS)
	if err == nil && hook != nil {
		err = unhookIf(hook, func(target int) bool { return target == 0 || isOneOf(devices, target) })
	}
	return errors.Join(unshaped, err)
}

// remove removes devices and, from whatever host's ends lead to them, what was
// put there for the attachment. The devices come last: by them, the rest is
// found after a kill.
func remove(devices []netlink.Link) error {
	if len(devices) == 0 {
		return nil
	}
	ends, err := leadingTo(devices)
	errs := []error{err}
	for _, end := range ends {
		errs = append(errs, sweep(end, devices))
	}
	return errors.Join(append(errs, deleteAll(devices))...)
}

// leadingTo returns the host's ends from which packets are redirected to one of
// the devices.
func leadingTo(devices []netlink.Link) ([]netlink.Link, error) {
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
