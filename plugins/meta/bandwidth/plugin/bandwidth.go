// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package bandwidth is the bandwidth plugin. It limits the rates at which a
// container that is attached by a veth pair receives and sends.
//
// A token bucket filter limits what a link sends. What the container receives is
// sent by the host's end of the pair, so that is where its filter is. What the
// container sends is redirected to an IFB device, which sends it on, and has the
// other filter. If only a part of the traffic is shaped, that part is redirected
// in both directions, to a device for each.
//
// The devices outlive the container. They say in their alias whose they are. What
// is on the host's end goes with it; should it stay, DEL and GC find the filters by
// where they lead, and the shaper by a record: nothing in the kernel says whose
// that is.
package bandwidth

import (
	"context"
	"errors"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the bandwidth plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "bandwidth",
	Versions: version.VersionsStartingFrom("0.3.0"),
	Chained:  true,
	Add:      add,
	Check:    checkShaping,
	Del:      del,
	Status:   status,
	GC:       gc,
})

func add(_ context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	p := c.plan()
	if !p.shapes() {
		return req.Prev, nil
	}
	host, err := hostEnd(req)
	if err != nil {
		return nil, err
	}
	warnOfSmallBursts(req, p, host.Attrs().MTU)
	others, err := makeRoom(req, p, host, c.entry())
	if err != nil {
		return nil, err
	}
	if !others.shaper {
		remember(req, p, host, c.entry())
	}
	devices, err := shapeByDevices(req, p, host, others.redirected)
	if err != nil {
		return nil, err
	}
	if p.shapesHost() {
		if err := p.ingress.apply(host); err != nil {
			return nil, err
		}
		req.Undo.Push("shaper of "+host.Attrs().Name, func() error { return unshape(host) })
	}
	for _, device := range devices {
		req.Prev.Interfaces = append(req.Prev.Interfaces, link.Describe(device, ""))
	}
	return req.Prev, nil
}

// del removes everything, whatever can be found without a namespace or limits.
func del(_ context.Context, req *plugin.Request, c *Config) error {
	host, err := vethpair.HostEnd(req)
	if err != nil || host != nil && req.Owner().IsOther(host.Attrs().Alias) {
		host = nil // CNI_NETNS may lead to another container by now
	}
	return clearAway(req, c.plan(), host)
}

func checkShaping(_ context.Context, req *plugin.Request, c *Config) error {
	p := c.plan()
	if !p.shapes() {
		return nil
	}
	host, err := hostEnd(req)
	if err != nil {
		return err
	}
	devices, err := ownIFBs(req.Owner())
	if err != nil {
		return err
	}
	var report check.Report
	if isLegacy(append(devices, host)) {
		p.traffic = selection{}
	}
	for _, direction := range p.byDevice(req.Owner()) {
		direction.check(&report, host, devices)
	}
	if p.shapesHost() {
		p.ingress.check(&report, host)
	}
	return report.Err()
}

// status tries whether the kernel has what it takes.
func status(_ context.Context, _ *plugin.Request, c *Config) error {
	p := c.plan()
	if !p.shapes() && !c.Capabilities["bandwidth"] {
		return nil
	}
	netns, err := ns.TempNetNS()
	if err != nil {
		return err
	}
	defer netns.Close()
	return netns.Do(func(ns.NetNS) error { return tryOut(p.traffic) })
}

// gc removes the devices of attachments that are no longer valid, and what leads
// to them, and the shapers that there are records of.
func gc(_ context.Context, _ *plugin.Request, _ *Config, valid plugin.Attachments) error {
	devices, err := staleIFBs(valid)
	ends, unfound := leadingTo(devices)
	forget := func(owner plugin.Owner) error { return unshapeRemembered(owner, nil) }
	return errors.Join(err, unfound, sweep(ends, devices), store().Collect(valid, forget))
}
