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
	all, err := hooks()
	if err != nil {
		return errors.Join(err, deleteAll(devices))
	}
	var errs []error
	for _, hook := range all {
		leads, err := leadsTo(hook, func(target int) bool { return isOneOf(devices, target) })
		if leads {
			err = sweepByIndex(hook.Attrs().LinkIndex, devices)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, deleteAll(devices))...)
}

func sweepByIndex(index int, devices []netlink.Link) error {
	host, err := link.FindByIndex(index)
	if errors.Is(err, link.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return sweep(host, devices)
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
