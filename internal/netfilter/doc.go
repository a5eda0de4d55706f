// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package netfilter is what the plugins ask of the host's packet filter, in
// their own words: masquerade these addresses, let only this MAC address in.
//
// There are two backends. nftables is spoken over netlink, without any program,
// in tables of our own. iptables is spoken through its programs, in the shape
// the plugins have always had, so that nodes can be upgraded and downgraded.
//
// Everything is marked with its owner. Removal goes by that mark: it finds what
// this package wrote with either backend, and what older versions of the plugins
// have left, without being told how the attachment was configured.
package netfilter
