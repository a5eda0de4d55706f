// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package vrf is the vrf plugin. It puts the container's interface into a VRF
// (virtual routing and forwarding, a routing domain of its own), which it makes
// if need be.
//
// The VRF is in the container's network namespace and goes with it. It is shared
// by the interfaces that are in it; the last one to leave takes it along.
// Choosing a table and looking for other members are done under the lock of the
// namespace (see linkroutes.Locked). A note on the host says what an interface
// has to have in the end, for as long as it is on its way (see note).
package vrf

import (
	"context"
	"errors"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the vrf plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "vrf",
	Versions: version.VersionsStartingFrom("0.3.1"),
	Chained:  true,
	Add:      add,
	Check:    checkMembership,
	Del:      del,
	Status:   status,
	GC:       gc,
})

// Config is the configuration of the vrf plugin.
type Config struct {
	conf.Common
	VRFName string `json:"vrfname"`
	Table   uint32 `json:"table"`
}

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	conf.LinkName(p, "vrfname", c.VRFName)
}

func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	n := noteOf(req)
	err := linkroutes.Locked(req, func() error {
		l, err := link.Find(req.IfName)
		if err != nil {
			return err
		}
		return join(ctx, req, c, l, n)
	})
	if err != nil {
		return nil, err
	}
	return req.Prev, nil
}

func status(context.Context, *plugin.Request, *Config) error { return link.Supported("vrf") }

// join puts l into the VRF, unless it is in there.
func join(ctx context.Context, req *plugin.Request, c *Config, l netlink.Link, n note) error {
	found, err := find(c)
	if err != nil {
		return err
	}
	earlier := n.read(l)
	if master := l.Attrs().MasterIndex; master != 0 {
		if err := expectMember(l, master, found); err != nil {
			return err
		}
		if err := earlier.arrive(ctx, l, int(found.Table)); err != nil {
			return err
		}
		return n.remove()
	}
	luggage, err := pack(l, unix.RT_TABLE_MAIN, earlier)
	if err != nil {
		return err
	}
	luggage.VRF = c.VRFName
	n.write(luggage)
	missing := earlier // should this ADD fail now
	req.Undo.Push("note of the way", func() error { return req.InNetns(func() error { return n.keep(missing) }) })
	if err := earlier.removeAnother(c.VRFName); err != nil {
		return err
	}
	if found == nil {
		if found, err = create(req, c); err != nil {
			return err
		}
	}
	req.Undo.Push("membership of "+c.VRFName, func() error {
		missing = luggage
		err := req.InNetns(func() error { return leave(context.WithoutCancel(ctx), l, int(found.Table), luggage) })
		if err == nil {
			missing = baggage{}
		}
		return err
	})
	if err := enter(ctx, l, found, luggage); err != nil {
		return err
	}
	return n.remove()
}

// expectMember refuses a link that is a member of something else.
func expectMember(l netlink.Link, master int, wanted *netlink.Vrf) error {
	if wanted != nil && master == wanted.Index {
		return nil
	}
	name := "one that is gone"
	if found, err := link.FindByIndex(master); err == nil {
		name = found.Attrs().Name
	}
	return plugin.Errorf(types.ErrInvalidNetworkConfig, "%s has already a master set, %s: an interface can have one only", l.Attrs().Name, name)
}

// del takes the interface out of the VRF that it is in, and removes what no
// interface is left in: that one, and the configuration's.
func del(ctx context.Context, req *plugin.Request, c *Config) error {
	n := noteOf(req)
	if !req.Netns.Present() {
		return n.remove()
	}
	err := linkroutes.Locked(req, func() error {
		left, err := takeOut(ctx, req.IfName, n)
		return errors.Join(err, removeEmpty(left), removeEmpty(c.VRFName))
	})
	if err != nil {
		return err
	}
	return n.remove()
}

// takeOut takes the interface out of its VRF and returns its name. One that is
// gone is in none; one that was on its way when a process was killed gets what
// it had.
func takeOut(ctx context.Context, ifName string, n note) (vrf string, err error) {
	l, err := link.Find(ifName)
	if link.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	earlier := n.read(l)
	if l.Attrs().MasterIndex == 0 {
		_ = earlier.arrive(ctx, l, unix.RT_TABLE_MAIN) // see leave
		return earlier.VRF, nil
	}
	found, err := linkroutes.VRF(l)
	if err != nil {
		return "", err
	}
	if found == nil { // somebody has put it into a bond, a bridge ...
		return earlier.VRF, nil
	}
	luggage, err := pack(l, int(found.Table), earlier)
	luggage.VRF = found.Name
	n.write(luggage)
	return found.Name, errors.Join(err, leave(ctx, l, int(found.Table), luggage))
}

// gc removes notes. All else is in the containers, and goes with them.
func gc(_ context.Context, _ *plugin.Request, _ *Config, valid plugin.Attachments) error {
	return removeStaleNotes(valid)
}
