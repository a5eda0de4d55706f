// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package tap is the tap plugin. It makes a persistent tap interface in the
// container, for a program in there, such as a virtual machine, to open.
//
// An attachment owns its interface, and with it the addresses and routes, and
// its IPAM reservation. The bridge in the container, whose port the interface
// may become, is used and never changed.
package tap

import (
	"context"
	"errors"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/childlink"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the tap plugin.
var Plugin = plugin.New(definition("/proc/thread-self/attr/exec"))

func definition(selinux labeller) plugin.Definition[Config] {
	return plugin.Definition[Config]{
		Name:     "tap",
		Versions: version.All,
		IPAM:     plugin.OptionalIPAM,
		Args:     []string{"MAC"},
		Add:      selinux.add,
		Del:      del,
		Check:    checkAttachment,
		Status:   selinux.status,
		Helper:   attachAsHelper,
	}
}

func (selinux labeller) add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	l, err := selinux.create(req, c)
	if err != nil {
		return nil, err
	}
	return childlink.Connect(ctx, req, l, &c.Common, ipam.Options{})
}

func del(ctx context.Context, req *plugin.Request, c *Config) error {
	l, err := own(req, c)
	return errors.Join(err, childlink.Release(ctx, req, l))
}

func (selinux labeller) status(_ context.Context, _ *plugin.Request, c *Config) error {
	return errors.Join(deviceStatus(), selinux.check(c))
}
