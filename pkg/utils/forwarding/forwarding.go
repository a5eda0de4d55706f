// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package forwarding has the kernel forward packets, in the network namespace of
// the calling thread.
package forwarding

import (
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// EnableIPv4 has the kernel forward packets of IPv4.
func EnableIPv4() error { return enable(netlink.FAMILY_V4, "net/ipv4/ip_forward") }

// EnableIPv6 has the kernel forward packets of IPv6.
func EnableIPv6() error { return enable(netlink.FAMILY_V6, "net/ipv6/conf/all/forwarding") }

// EnableFor has the kernel forward packets of the families of addresses.
func EnableFor(addresses []*net.IPNet) error {
	isIPv4 := func(address *net.IPNet) bool { return address.IP.To4() != nil }
	if slices.ContainsFunc(addresses, isIPv4) {
		if err := EnableIPv4(); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(addresses, func(address *net.IPNet) bool { return !isIPv4(address) }) {
		return EnableIPv6()
	}
	return nil
}

// enable writes only where it makes a difference: /proc/sys may be read-only.
func enable(family int, key string) error {
	if on, err := netlinksafe.Forwards(family); err == nil && on {
		return nil
	}
	if err := sysctl.Set(key, "1"); err != nil {
		return fmt.Errorf("enable forwarding: %w", err)
	}
	return nil
}
