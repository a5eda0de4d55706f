// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package bridge is the bridge plugin. It creates a Linux bridge on the host,
// or uses the one that is there, and gives the container one end of a veth pair
// whose other end is a port of that bridge.
//
// The bridge, its addresses, its VLAN gateway devices, forwarding and the base
// chains of nftables are shared by everything attached to the bridge; no
// attachment takes them back. An attachment owns its veth pair, its IPAM
// reservation, its masquerading and its MAC guard. The host end of the pair
// says whose it is by its name (plugin.Owner.HostLink) and its alias
// (plugin.Owner.Comment), the netfilter objects by their comments, so that DEL
// and GC find all of them without the container's network namespace.
package bridge
