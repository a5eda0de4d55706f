// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package hostdevice is the host-device plugin. It lends a container a network
// interface of the host: moves it into the container's namespace and, when it is
// given back, brings it home and makes it what it was.
//
// An attachment owns its IPAM reservation and, for as long as it lasts, the
// interface, which says so itself: it bears its owner and its home as
// alternative names, wherever it is. So it is recognized on the host when the
// kernel brought it back, and is never taken for another. What was there before,
// and what bears no mark, is left alone. A file on the host has its home, too,
// and what it is known by (identity), which come before what the container may
// have written on the interface.
//
// A device that belongs to a program in userspace (DPDK) has no interface, and
// nothing is moved.
package hostdevice

import (
	"context"
	"errors"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the host-device plugin.
var Plugin = plugin.New(definition("/sys"))

func definition(root sysfs) plugin.Definition[Config] {
	return plugin.Definition[Config]{
		Name:     "host-device",
		Versions: version.All,
		IPAM:     plugin.OptionalIPAM,
		Add:      root.add,
		Del:      del,
		Check:    root.check,
		Status:   root.status,
		GC:       gc,
	}
}

func (root sysfs) add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	at, err := root.locate(c)
	if err != nil {
		return nil, err
	}
	if !req.IPAM.Configured() {
		c.DNS = types.DNS{} // it replaces an IPAM plugin's, and is in no result without one
	}
	if root.isUserspace(at, c) {
		return reserve(ctx, req, at, c)
	}
	n, err := root.take(req, at)
	if err != nil {
		return nil, err
	}
	result, err := childlink.Connect(ctx, req, n.link, &c.Common, ipam.Options{Probe: c.Probe})
	if err != nil {
		return nil, err
	}
	result.Interfaces[0].PciID = n.pciID
	return result, nil
}

// reserve gets addresses for a device that nothing on the host can configure:
// they are in the result, for who drives it.
func reserve(ctx context.Context, req *plugin.Request, at locator, c *Config) (*current.Result, error) {
	result, err := req.IPAM.Add(ctx, req.Undo)
	if err != nil {
		return nil, err
	}
	containerlink.Complete(result, &current.Interface{Name: req.IfName, Sandbox: req.Netns.Path(), PciID: at.pci}, &c.Common)
	return result, nil
}

// del gives the interface back. It looks neither for the device that the
// configuration names nor for the namespace, and goes on past failures.
func del(ctx context.Context, req *plugin.Request, c *Config) error {
	return seek(req, c, func(req *plugin.Request, n *nic, err error) error {
		if n != nil {
			_, silenceErr := containerlink.Silence(req, n.link)
			err = errors.Join(err, silenceErr)
		}
		ipamErr := req.IPAM.Del(ctx)
		isHome, homeErr := bringHome(req, c, n)
		return errors.Join(ipamErr, done(req, isHome, err, homeErr))
	})
}

func (root sysfs) status(_ context.Context, req *plugin.Request, c *Config) error {
	if !c.namesDevice() {
		return nil // the runtime says it with ADD
	}
	at, err := root.locate(c)
	if err != nil || root.isUserspace(at, c) {
		return err
	}
	_, err = root.find(req, at)
	return err
}

// gc brings home what the kernel brought back to the host when the namespaces
// of containers went away.
func gc(_ context.Context, _ *plugin.Request, _ *Config, valid plugin.Attachments) error {
	return collect(valid)
}
