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
	own, err := c.intend(req)
	if err != nil {
		return nil, err
	}
	earlier := store().Left(req.Owner())
	all := own.with(req, earlier)
	if err := own.compatible(c, all); err != nil {
		return nil, err
	}
	again, dropped, err := dropEarlier(ctx, req, earlier, all)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 || len(own.Ports.Mappings) == 0 && !dropped {
		return req.Prev, nil
	}
	if !again {
		// Before: one family may be done when the other fails.
		req.Undo.Push("port mappings", func() error {
			_, err := remove(ctx, req.Owner(), nil)
			return err
		})
	}
	return req.Prev, mapPorts(ctx, req, own, all, dropped)
}

// intend returns what the entry is to map.
func (c *Config) intend(req *plugin.Request) (intended, error) {
	own := intended{Entry: c.entry(), Ports: plan(req, c)}
	if len(own.Ports.Mappings) == 0 {
		return own, nil
	}
	backend, err := netfilter.SelectPortMapper(c.backend())
	if err != nil {
		return own, err
	}
	own.Backend = backend.Name()
	return own, nil
}

// mapPorts maps what an entry wants and, if all was dropped, what others do.
func mapPorts(ctx context.Context, req *plugin.Request, own intended, all []intended, dropped bool) error {
	some := []intended{own}
	if dropped {
		some = all
	}
	remember(req, all)
	err := netfilter.HealingFirst(ctx, store().Others(ctx, req, restore), func(ctx context.Context) error {
		return mapEach(ctx, req.Owner(), some, all)
	})
	if err != nil {
		return err
	}
	guard := func(device string) error { return netfilter.GuardLoopback(ctx, device) }
	for _, d := range some {
		if err := routeLoopback(d, guard); err != nil {
			return err
		}
		if d.Entry == own.Entry {
			forgetConnections(d.Ports, takenOver(req.Owner(), d.Ports, readLive()))
		} else { // which was only away for a moment
			forgetUntranslated([]netfilter.OwnedPorts{{Owner: req.Owner(), Ports: d.Ports}})
		}
	}
	return nil
}

// del removes what belongs to the attachment. It needs neither the namespace nor
// a configuration that makes sense. Where neither the runtime nor the store know
// of a mapping there is nothing, and nobody is asked.
func del(ctx context.Context, req *plugin.Request, c *Config) error {
	earlier, remembered := store().Recall(req.Owner())
	if !remembered && len(c.RuntimeConfig.PortMappings) == 0 {
		return nil
	}
	had := []intended{{Ports: plan(req, c)}}
	if remembered {
		had = earlier.all()
	}
	removed, err := remove(ctx, req.Owner(), containerAddresses(req))
	if remembered {
		handOver(ctx, req.Owner())
	}
	if removed || remembered { // else the ports are somebody else's
		forgetLeft(req.Owner(), had)
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
