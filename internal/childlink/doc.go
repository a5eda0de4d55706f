// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package childlink is what the plugins have in common whose interface is a
// single link inside the container: on top of a master (macvlan, ipvlan, vlan)
// or by itself (dummy, tap).
//
// A plugin says what is special about its links with a Kind, and Define has the
// commands for it. What a plugin does in a way of its own it puts together from the
// steps of the usual commands:
//
//	func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
//		l, err := childlink.Create(req, c.kind(req.Args))
//		if err != nil {
//			return nil, err
//		}
//		return childlink.Connect(ctx, req, l, &c.Common, ipam.Options{})
//	}
//
// The link has its final name before the IPAM plugin is asked: a DHCP client
// needs it. It bears its owner as its alias and goes with the container's
// namespace, so there is nothing on the host for GC to find. DEL needs neither
// the master nor a configuration.
package childlink
