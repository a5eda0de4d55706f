// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package netfilter is what the plugins ask of the host's packet filter, in
// their own words:
//
//   - masquerade these addresses (Backend);
//   - let only this MAC address in (GuardMAC);
//   - let the traffic of these addresses pass, and between bridges what their
//     policies allow (Gate);
//   - map these ports of the host (PortMapper);
//   - keep what comes in by this device from the host's 127.0.0.0/8
//     (GuardLoopback).
//
// It also tells what others drop of that (Barrier), and when they have taken our
// rules away (HealingFirst and HealingAfter while adding, Losses at any time).
//
// There are two backends. nftables is spoken over netlink, without any program,
// in tables of our own. iptables is spoken through its programs, in the shape
// the plugins have always had, so that nodes can be upgraded and downgraded.
//
// Everything is marked with its owner. Removal goes by that mark: it finds what
// this package wrote with either backend, and what older versions of the plugins
// have left, without being told how the attachment was configured.
package netfilter
