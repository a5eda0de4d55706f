// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/undo"
)

// settleHome makes an interface on the host what it was before it was given
// away. Its marks go last: who is interrupted can start again. One that has gone
// from here meanwhile is the next container's, since another DEL was quicker.
func settleHome(n *nic) error {
	err := nameAgain(n)
	if err == nil {
		err = errors.Join(restore(n), restoreNames(n))
	}
	if link.IsNotFound(err) {
		return nil
	}
	return err
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
// changed. It is up again only if it is known to have been up.
func restore(n *nic) error {
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
		errs = append(errs, restoreTraits(n))
	}
	if n.home.up {
		errs = append(errs, describe(n, "state", netlink.LinkSetUp(n.link)))
	}
	return errors.Join(errs...)
}

// restoreTraits is restore for what the record alone has.
func restoreTraits(n *nic) error {
	wanted, now := n.home.traits, traitsOf(n.link)
	errs := []error{
		n.turn("promiscuous mode", wanted.Promisc, now.Promisc, netlink.SetPromiscOn, netlink.SetPromiscOff),
		n.turn("reception of all multicast", wanted.AllMulti, now.AllMulti, netlink.LinkSetAllmulticastOn, netlink.LinkSetAllmulticastOff),
	}
	if wanted.TxQLen != now.TxQLen {
		errs = append(errs, describe(n, "queue length", netlink.LinkSetTxQLen(n.link, wanted.TxQLen)))
	}
	if wanted.More != nil {
		errs = append(errs, restoreMore(n, wanted.More, now.More))
	}
	return errors.Join(errs...)
}

func restoreMore(n *nic, wanted, now *more) error {
	errs := []error{
		n.turn("use of ARP", !wanted.NoARP, !now.NoARP, netlink.LinkSetARPOn, netlink.LinkSetARPOff),
		n.turn("multicast", wanted.Multicast, now.Multicast, netlink.LinkSetMulticastOn, netlink.LinkSetMulticastOff),
	}
	if wanted.Group != now.Group {
		errs = append(errs, describe(n, "group", netlink.LinkSetGroup(n.link, int(wanted.Group))))
	}
	return errors.Join(errs...)
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

// restoreNames gives an interface the alternative names back that it had, without
// its marks, and without what the container has given it. A name that another has
// by now stays with that.
func restoreNames(n *nic) error {
	attrs := n.link.Attrs()
	foreign := marks(n.link)
	var errs []error
	if n.home.traits != nil {
		foreign = without(attrs.AltNames, n.home.traits.AltNames)
		for _, name := range without(n.home.traits.AltNames, attrs.AltNames) {
			if err := link.AddAltNames(attrs.Index, name); !errors.Is(err, unix.EEXIST) {
				errs = append(errs, err)
			}
		}
	}
	return describe(n, "alternative names", errors.Join(append(errs, link.RemoveAltNames(attrs.Index, foreign...))...))
}
