// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DADTimeout is enough for WaitDAD with the kernel's defaults, with which detection
// takes one to two seconds.
const DADTimeout = 5 * time.Second

// SmallestIPv6MTU is that of a link with IPv6 (RFC 8200, 5).
const SmallestIPv6MTU = 1280

// WaitDAD waits until none of the given IPv6 addresses of the link, or of all
// of them when none is given, is tentative any more, that is, until duplicate
// address detection (RFC 4862, 5.4) has come to an end. A duplicate is an
// error.
//
// Without carrier nothing is detected, and as long as the link is not
// operationally up nothing can be: there is nothing to wait for in the first
// case, nor to complain about in the second.
func WaitDAD(ctx context.Context, index int, addresses ...net.IP) error {
	up := false
	check := func() (waitingFor, error) {
		l, err := FindByIndex(index)
		if err != nil {
			return "", err
		}
		up = isUp(l.Attrs().OperState, l.Attrs().RawFlags)
		tentative, err := tentativeAddress(l, addresses)
		if err != nil || tentative == nil || !hasCarrier(l) {
			return "", err
		}
		return waitingFor(fmt.Sprintf("%s has the tentative address %s, waited for the end of duplicate address detection", l.Attrs().Name, tentative)), nil
	}
	err := wait(ctx, check, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_LINK)
	var timeout *timeoutError
	if errors.As(err, &timeout) && !up {
		return nil
	}
	return err
}

func hasCarrier(l netlink.Link) bool {
	return l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
}

// tentativeAddress returns one of the addresses of l whose uniqueness is not
// known yet, or nil.
func tentativeAddress(l netlink.Link, among []net.IP) (net.IP, error) {
	addresses, err := Addresses(l, netlink.FAMILY_V6)
	if err != nil {
		return nil, err
	}
	var tentative net.IP
	for _, addr := range addresses {
		if len(among) > 0 && !slices.ContainsFunc(among, addr.IP.Equal) {
			continue
		}
		if addr.Flags&unix.IFA_F_DADFAILED != 0 {
			return nil, fmt.Errorf("%s is in use by somebody else: duplicate address detection failed on %s", addr.IP, l.Attrs().Name)
		}
		// An optimistic address (RFC 4429) is tentative, too, and usable.
		if addr.Flags&unix.IFA_F_TENTATIVE != 0 && addr.Flags&unix.IFA_F_OPTIMISTIC == 0 {
			tentative = addr.IP
		}
	}
	return tentative, nil
}
