// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"context"
	"errors"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/defaultroute"
	"github.com/containernetworking/plugins/internal/masquerade"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the bridge plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "bridge",
	Versions: version.All,
	IPAM:     plugin.OptionalIPAM,
	Args:     []string{"MAC"},
	Add:      add,
	Del:      del,
	Check:    checkAttachment,
	Status:   status,
	GC:       gc,
})

func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	var err error
	if c.MTU.Bytes, err = defaultroute.MTU(c.MTU); err != nil {
		return nil, err
	}
	bridge, err := ensureBridge(req, c)
	if err != nil {
		return nil, err
	}
	if err := keepIPv6(c, bridge); err != nil {
		return nil, err
	}
	pair, err := vethpair.Create(req, c.MTU.Bytes, c.ContainerMAC(req.Args))
	if err != nil {
		return nil, err
	}
	if err := guardMAC(ctx, req, c, pair); err != nil {
		return nil, err
	}
	if err := attachPort(req, c, bridge, pair); err != nil {
		return nil, err
	}
	result, err := req.IPAM.Add(ctx, req.Undo)
	if err != nil {
		return nil, err
	}
	if err := nameInterfaces(req, bridge, pair, result); err != nil {
		return nil, err
	}
	gateways, err := planGateways(c, result)
	if err != nil {
		return nil, err
	}
	if err := configureContainer(ctx, req, c, pair, result); err != nil {
		return nil, err
	}
	if err := c.Masquerade(ctx, req, result.IPs); err != nil {
		return nil, err
	}
	gateway, err := ensureGateways(c, bridge, gateways)
	if err != nil {
		return nil, err
	}
	if err := waitForPort(ctx, c, pair, gateway); err != nil {
		return nil, err
	}
	if err := announce(req, c, pair); err != nil {
		return nil, err
	}
	return result, complete(c, gateway, result)
}

// del releases everything that belongs to the attachment. It needs neither the
// namespace nor a configuration that makes sense, and goes on past failures.
func del(ctx context.Context, req *plugin.Request, _ *Config) error {
	known, err := vethpair.Silence(req)
	known = masquerade.Recall(req.Owner(), known)
	unmasqueraded := plugin.Background(func() error { return masquerade.Remove(ctx, req.Owner(), known) })
	return errors.Join(err, req.IPAM.Del(ctx), vethpair.Delete(req), unguard(ctx, req.Owner()),
		unmasqueraded(), masquerade.Prune(ctx, req, known))
}

func status(ctx context.Context, req *plugin.Request, c *Config) error {
	errs := []error{link.Supported("veth"), bridgeStatus(c)}
	if c.layer3() {
		errs = append(errs, c.MasqueradeStatus(ctx, req))
	}
	return errors.Join(errs...)
}

func gc(ctx context.Context, req *plugin.Request, _ *Config, valid plugin.Attachments) error {
	return errors.Join(vethpair.GC(valid), netfilter.GC(ctx, valid), masquerade.GC(ctx, req, valid), guards().GC(ctx, valid))
}
