// SPDX-License-Identifier: Apache-2.0

// Package hnsendpoint is what win-bridge and win-overlay have in common: the
// life of an endpoint of the Windows host networking service.
//
// An attachment owns one endpoint, which is called <sandbox>_<network>, and its
// IPAM reservation. The sandbox is the container, or with Docker the container
// whose network it shares: such a container owns nothing, it uses the endpoint
// of the other one. The network belongs to whoever made it.
package hnsendpoint

import (
	"context"
	"net/netip"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/hns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Spec is what the configuration of a plugin says about its endpoints.
type Spec struct {
	Settings     *Settings
	DNS          types.DNS
	NetworkTypes []string // of the networks that the plugin works with
	// Plan says what else there is to an endpoint with the given address, which
	// is the zero Prefix if the service is to choose one.
	Plan func(client hns.Client, network hns.Network, address netip.Prefix) (Plan, error)
}

// Plan is what a plugin determines in its own way. Everything may be left out.
type Plan struct {
	MAC             string
	Gateway         netip.Addr
	NATException    string // network that is reached without address translation
	ProviderAddress string // of this host, in an overlay
}

// Definition returns the definition of a plugin that makes endpoints at service,
// as specOf describes them.
func Definition[C any](name string, service hns.Service, specOf func(*C) Spec) plugin.Definition[C] {
	attachmentOf := func(req *plugin.Request, c *C) *attachment { return newAttachment(service, req, specOf(c)) }
	return plugin.Definition[C]{
		Name:         name,
		Versions:     version.All,
		IPAM:         plugin.HostIPAM,
		ForeignNetns: true,
		Add: func(ctx context.Context, req *plugin.Request, c *C) (*current.Result, error) {
			return attachmentOf(req, c).add(ctx)
		},
		Del: func(ctx context.Context, req *plugin.Request, c *C) error {
			return attachmentOf(req, c).del(ctx)
		},
		Check: func(ctx context.Context, req *plugin.Request, c *C) error {
			return attachmentOf(req, c).check(ctx)
		},
		Status: func(_ context.Context, req *plugin.Request, c *C) error {
			return attachmentOf(req, c).status()
		},
		GC: func(_ context.Context, req *plugin.Request, c *C, valid plugin.Attachments) error {
			return attachmentOf(req, c).gc(valid)
		},
	}
}

// add attaches the sandbox's endpoint to the container. There is one if another
// container has made it, or an earlier ADD; whoever finds one must not undo it.
func (a *attachment) add(ctx context.Context) (*current.Result, error) {
	target, err := a.target()
	if err != nil {
		return nil, err
	}
	network, err := a.network()
	if err != nil {
		return nil, err
	}
	endpoint, err := a.existing(network)
	if err != nil {
		return nil, err
	}
	isNew := endpoint == nil
	if isNew {
		endpoint, err = a.create(ctx, network)
	}
	if err != nil {
		return nil, err
	}
	if err := a.attach(*endpoint, target, isNew); err != nil {
		return nil, err
	}
	return a.result(*network, *endpoint), nil
}
