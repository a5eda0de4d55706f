// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/undo"
)

// settleHome makes an interface on the host what it was before it was given
// away. What the kernel refuses to restore - a macvlan's MTU above that of its
// master by now - is no error: the interface is home, and the container has to go.
// Its marks go last: who is interrupted can start again. One that has gone
// from here meanwhile is the next container's, since another DEL was quicker.
func settleHome(n *nic) error {
	err := nameAgain(n)
	if err == nil {
		refused := restore(n)
		if err = unmark(n); !link.IsNotFound(err) {
			report(n, refused)
		}
	}
	if link.IsNotFound(err) {
		return nil
	}
	return err
}

// unmark takes the marks from an interface.
func unmark(n *nic) error {
	if err := link.RemoveAltNames(n.link.Attrs().Index, marks(n.link)...); err != nil {
		return fmt.Errorf("take the marks from %s: %w", n.home.name, err)
	}
	return nil
}

// report says on standard error what an interface has not got back, and why.
func report(n *nic, refused []error) {
	for _, err := range refused {
		plugin.Logf("host-device", "%s is home, but not all that it was: %v", n.home.name, err)
	}
}

// nameAgain gives an interface its name back that the kernel brought to the
// host under another. Another DEL may do that at the same time.
func nameAgain(n *nic) error {
	if n.link.Attrs().Name == n.home.name {
		return nil
	}
	if err := checkHomeIsFree(n); err != nil {
		return isNamed(n, err)
	}
	var steps undo.Stack
	if err := rename(n, &steps); err != nil {
		return errors.Join(err, steps.Unwind())
	}
	return nil
}

// isNamed returns nil instead of err if the interface has its name by now.
func isNamed(n *nic, err error) error {
	now, findErr := link.FindByIndex(n.link.Attrs().Index)
	if findErr == nil && now.Attrs().Name == n.home.name {
		return nil
	}
	return errors.Join(err, findErr)
}

// restore gives an interface the properties back that a container can have
// changed, and returns why it has not got some. It is up again only if it is known
// to have been up.
func restore(n *nic) (refused []error) {
	attrs := n.link.Attrs()
	var errs []error
	if n.home.mtu != 0 && n.home.mtu != attrs.MTU {
		errs = append(errs, describe(n, "MTU", netlink.LinkSetMTU(n.link, n.home.mtu)))
	}
	if len(n.home.mac) > 0 && !bytes.Equal(n.home.mac, attrs.HardwareAddr) {
		errs = append(errs, describe(n, "hardware address", netlink.LinkSetHardwareAddr(n.link, n.home.mac)))
	}
	if attrs.Alias != n.home.alias {
		errs = append(errs, describe(n, "alias", netlink.LinkSetAlias(n.link, n.home.alias)))
	}
	if n.home.traits != nil {
		errs = append(errs, restoreTraits(n)...)
	}
	if n.home.up {
		errs = append(errs, describe(n, "state", netlink.LinkSetUp(n.link)))
	}
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// restoreTraits is restore for what the record alone has.
func restoreTraits(n *nic) []error {
	wanted, now := n.home.traits, traitsOf(n.link)
	errs := []error{
		n.turn("promiscuous mode", wanted.Promisc, now.Promisc, netlink.SetPromiscOn, netlink.SetPromiscOff),
		n.turn("reception of all multicast", wanted.AllMulti, now.AllMulti, netlink.LinkSetAllmulticastOn, netlink.LinkSetAllmulticastOff),
	}
	if wanted.TxQLen != now.TxQLen {
		errs = append(errs, describe(n, "queue length", netlink.LinkSetTxQLen(n.link, wanted.TxQLen)))
	}
	if wanted.More != nil {
		errs = append(errs, restoreMore(n, wanted.More, now.More)...)
	}
	return append(errs, restoreNames(n)...)
}

func restoreMore(n *nic, wanted, now *more) []error {
	errs := []error{
		n.turn("use of ARP", !wanted.NoARP, !now.NoARP, netlink.LinkSetARPOn, netlink.LinkSetARPOff),
		n.turn("multicast", wanted.Multicast, now.Multicast, netlink.LinkSetMulticastOn, netlink.LinkSetMulticastOff),
	}
	if wanted.Group != now.Group {
		errs = append(errs, describe(n, "group", netlink.LinkSetGroup(n.link, int(wanted.Group))))
	}
	return errs
}

// restoreNames gives an interface the alternative names back that it had, in the place
// of what the container has given it. A name that another has by now stays with that.
func restoreNames(n *nic) []error {
	attrs, wanted := n.link.Attrs(), n.home.traits.AltNames
	foreign := without(without(attrs.AltNames, marks(n.link)), wanted)
	errs := []error{link.RemoveAltNames(attrs.Index, foreign...)}
	for _, name := range without(wanted, attrs.AltNames) {
		if err := link.AddAltNames(attrs.Index, name); !errors.Is(err, unix.EEXIST) {
			errs = append(errs, err)
		}
	}
	for i, err := range errs {
		errs[i] = describe(n, "alternative names", err)
	}
	return errs
}

// turn turns something on or off unless it is.
func (n *nic) turn(what string, wanted, now bool, on, off func(netlink.Link) error) error {
	switch {
	case wanted == now:
		return nil
	case wanted:
		return describe(n, what, on(n.link))
	}
	return describe(n, what, off(n.link))
}

func describe(n *nic, what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("restore the %s of %s: %w", what, n.home.name, err)
}
