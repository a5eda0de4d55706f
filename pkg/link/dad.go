// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// WaitDAD waits until no IPv6 address of the link is tentative any more, that
// is, until duplicate address detection (RFC 4862, 5.4) has come to an end. A
// duplicate is an error. A link without carrier does not detect anything: there
// is nothing to wait for, and that is a success.
func WaitDAD(ctx context.Context, index int) error {
	settled := func(timedOut bool) (bool, error) {
		l, err := FindByIndex(index)
		if err != nil {
			return false, err
		}
		tentative, err := tentativeAddress(l)
		if err != nil || tentative == "" || !hasCarrier(l) {
			return true, err
		}
		if timedOut {
			err = fmt.Errorf("duplicate address detection of %s on %s has not come to an end in time", tentative, l.Attrs().Name)
		}
		return false, err
	}
	if done, err := settled(false); done || err != nil {
		return err
	}
	return watch(ctx, unix.RTNLGRP_IPV6_IFADDR, settled)
}

func hasCarrier(l netlink.Link) bool {
	return l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
}

// tentativeAddress returns an IPv6 address of l whose uniqueness is not known
// yet, or nothing.
func tentativeAddress(l netlink.Link) (string, error) {
	addresses, err := netlinksafe.AddrList(l, netlink.FAMILY_V6)
	if err != nil {
		return "", fmt.Errorf("list the addresses of %s: %w", l.Attrs().Name, err)
	}
	tentative := ""
	for _, addr := range addresses {
		if addr.Flags&unix.IFA_F_DADFAILED != 0 {
			return "", fmt.Errorf("%s is in use by somebody else: duplicate address detection failed on %s", addr.IP, l.Attrs().Name)
		}
		// An optimistic address (RFC 4429) is tentative, too, and usable.
		if addr.Flags&unix.IFA_F_TENTATIVE != 0 && addr.Flags&unix.IFA_F_OPTIMISTIC == 0 {
			tentative = addr.IP.String()
		}
	}
	return tentative, nil
}
