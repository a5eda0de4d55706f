// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package portmap is the portmap plugin. It makes ports of the host lead to a
// container, and comes after the plugin that attaches it.
//
// An attachment owns its mappings in the host's packet filter, the intent that
// they can be put back from, and the tracked connections through them. The base
// chains and tables are shared and stay, and so does route_localnet.
package portmap

import (
	"context"
	"errors"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the portmap plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "portmap",
	Versions: version.All,
	Chained:  true,
	Add:      add,
	Del:      del,
	Check:    checkPorts,
	Status:   status,
	GC:       gc,
})

func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	ports := plan(req, c)
	if len(ports.Mappings) == 0 {
		_, err := dropEarlier(ctx, req, intended{})
		return req.Prev, err
	}
	backend, err := netfilter.SelectPortMapper(c.backend())
	if err != nil {
		return nil, err
	}
	wanted := intended{backend.Name(), ports}
	again, err := dropEarlier(ctx, req, wanted)
	if err != nil {
		return nil, err
	}
	if !again {
		// Before: one family may be done when the other fails.
		req.Undo.Push("port mappings", func() error {
			_, err := remove(ctx, req.Owner(), nil)
			return err
		})
	}
	remember(req, wanted)
	err = netfilter.HealingFirst(ctx, store().Others(ctx, req, restore), func(ctx context.Context) error {
		return backend.MapPorts(ctx, req.Owner(), ports, holders{})
	})
	if err != nil {
		return nil, err
	}
	guard := func(device string) error { return netfilter.GuardLoopback(ctx, device) }
	if err := routeLoopback(wanted, guard); err != nil {
		return nil, err
	}
	forgetConnections(ports, takenOver(req.Owner(), ports, readLive()))
	return req.Prev, nil
}

// del removes what belongs to the attachment. It needs neither the namespace nor
// a configuration that makes sense. Where neither the runtime nor the store know
// of a mapping there is nothing, and nobody is asked.
func del(ctx context.Context, req *plugin.Request, c *Config) error {
	earlier, remembered := store().Recall(req.Owner())
	if !remembered && len(c.RuntimeConfig.PortMappings) == 0 {
		return nil
	}
	ports := plan(req, c)
	if remembered {
		ports = earlier.Ports
	}
	removed, err := remove(ctx, req.Owner(), containerAddresses(req))
	if remembered {
		handOver(ctx, req.Owner())
	}
	if removed || remembered { // else the ports are somebody else's
		forgetConnections(ports, leftBy(req.Owner(), ports))
	}
	return err
}

// status tells why a mapping could not be made. Mappings that somebody has
// flushed do not keep an ADD from working: they are said on standard error.
func status(ctx context.Context, _ *plugin.Request, c *Config) error {
	backend, err := netfilter.SelectPortMapper(c.backend())
	if err != nil {
		return err
	}
	reportLost(ctx)
	return backend.CanMapPorts(ctx)
}

func gc(ctx context.Context, _ *plugin.Request, _ *Config, valid plugin.Attachments) error {
	return errors.Join(collect(ctx, valid), store().HealNetwork(ctx, valid, restore))
}
