// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"maps"
	"slices"

	dhcp "github.com/containernetworking/plugins/plugins/ipam/dhcp/plugin"
	hostlocal "github.com/containernetworking/plugins/plugins/ipam/host-local/plugin"
	static "github.com/containernetworking/plugins/plugins/ipam/static/plugin"
	bridge "github.com/containernetworking/plugins/plugins/main/bridge/plugin"
	dummy "github.com/containernetworking/plugins/plugins/main/dummy/plugin"
	hostdevice "github.com/containernetworking/plugins/plugins/main/host-device/plugin"
	ipvlan "github.com/containernetworking/plugins/plugins/main/ipvlan/plugin"
	loopback "github.com/containernetworking/plugins/plugins/main/loopback/plugin"
	macvlan "github.com/containernetworking/plugins/plugins/main/macvlan/plugin"
	ptp "github.com/containernetworking/plugins/plugins/main/ptp/plugin"
	tap "github.com/containernetworking/plugins/plugins/main/tap/plugin"
	vlan "github.com/containernetworking/plugins/plugins/main/vlan/plugin"
	bandwidth "github.com/containernetworking/plugins/plugins/meta/bandwidth/plugin"
	firewall "github.com/containernetworking/plugins/plugins/meta/firewall/plugin"
	flannel "github.com/containernetworking/plugins/plugins/meta/flannel/plugin"
	portmap "github.com/containernetworking/plugins/plugins/meta/portmap/plugin"
	sbr "github.com/containernetworking/plugins/plugins/meta/sbr/plugin"
	tuning "github.com/containernetworking/plugins/plugins/meta/tuning/plugin"
	vrf "github.com/containernetworking/plugins/plugins/meta/vrf/plugin"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// plugins returns all plugins by name.
func plugins() map[string]plugin.Plugin {
	all := map[string]plugin.Plugin{}
	for _, p := range []plugin.Plugin{
		bandwidth.Plugin,
		bridge.Plugin,
		dhcp.Plugin,
		dummy.Plugin,
		firewall.Plugin,
		flannel.Plugin,
		hostdevice.Plugin,
		hostlocal.Plugin,
		ipvlan.Plugin,
		loopback.Plugin,
		macvlan.Plugin,
		portmap.Plugin,
		ptp.Plugin,
		sbr.Plugin,
		static.Plugin,
		tap.Plugin,
		tuning.Plugin,
		vlan.Plugin,
		vrf.Plugin,
	} {
		all[p.Name] = p
	}
	return all
}

func names() []string { return slices.Sorted(maps.Keys(plugins())) }

// linked are the plugins that may be delegates: all, by the file they are in.
func linked(all map[string]plugin.Plugin) []plugin.Linked {
	var list []plugin.Linked
	for _, p := range all {
		list = append(list, plugin.Linked{Plugin: p})
	}
	return list
}
