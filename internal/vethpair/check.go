// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vethpair

import (
	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Check compares the pair with prevResult: the container's end with its MAC
// address, MTU, addresses and routes, and the host's end with its own. up says
// whether the container's end is meant to be up. It returns the ends that it
// found, nil for one that is gone.
func Check(report *check.Report, req *plugin.Request, up bool) Pair {
	pair := Pair{Container: containerlink.Check(report, req, containerlink.Want{Kind: "veth", Up: up})}
	if pair.Container != nil {
		pair.Host = checkHost(report, req, pair.Container)
	}
	return pair
}

// checkHost finds the other end of container on the host and compares it with
// its entry in prevResult.
func checkHost(report *check.Report, req *plugin.Request, container netlink.Link) netlink.Link {
	host, err := hostEndOf(container, container.Attrs().ParentIndex)
	if err != nil {
		report.Addf("%s: the host's end of the veth pair is gone: %v", req.IfName, err)
		return nil
	}
	report.Up(host)
	want := previousHost(req, host.Attrs().Name)
	if want == nil {
		report.Addf("%s: the host's end of the veth pair is %s, which prevResult does not name", req.IfName, host.Attrs().Name)
		return host
	}
	report.Attributes(host, want, "veth")
	return host
}

func previousHost(req *plugin.Request, name string) *current.Interface {
	for _, iface := range req.Prev.Interfaces {
		if iface.Sandbox == "" && iface.Name == name {
			return iface
		}
	}
	return nil
}
