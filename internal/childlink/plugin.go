// SPDX-License-Identifier: Apache-2.0

//go:build linux

package childlink

import (
	"context"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Define completes the definition of a plugin. The commands that it leaves out
// are the usual ones of a plugin with links of a kind; kind returns the one that
// a configuration asks for, also an empty one.
func Define[C any](d plugin.Definition[C], kind func(*C, conf.EnvArgs) Kind) plugin.Definition[C] {
	u := usual[C]{kind}
	if d.Add == nil {
		d.Add = u.add
	}
	if d.Status == nil {
		d.Status = u.status
	}
	d.Del, d.Check = u.del, u.check
	return d
}

// usual are the commands of a plugin with links of a kind.
type usual[C any] struct {
	kind func(*C, conf.EnvArgs) Kind
}

func (u usual[C]) add(ctx context.Context, req *plugin.Request, c *C) (*current.Result, error) {
	k := u.kind(c, req.Args)
	l, err := Create(req, k)
	if err != nil {
		return nil, err
	}
	return Connect(ctx, req, l, any(c).(interface{ Base() *conf.Common }).Base(), ipam.Options{Probe: k.Probe})
}

// del does not look at the configuration.
func (u usual[C]) del(ctx context.Context, req *plugin.Request, _ *C) error {
	return del(ctx, req, u.kind(new(C), nil).Type)
}

func (u usual[C]) check(ctx context.Context, req *plugin.Request, c *C) error {
	return Check(ctx, req, u.kind(c, req.Args))
}

func (u usual[C]) status(_ context.Context, req *plugin.Request, c *C) error {
	return u.kind(c, req.Args).Status()
}
