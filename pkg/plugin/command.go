// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/conf"
)

// command is a Definition whose configuration is of any type. What the chassis
// does is so compiled once, and not for each plugin of an executable.
type command struct {
	Name          string
	IPAM          IPAMUse
	Chained       bool
	TakesPrev     bool
	Args          []string
	ForeignNetns  bool
	IgnoresIfName bool

	newConfig func() any
	Add       func(context.Context, *Request, any) (*current.Result, error)
	Del       func(context.Context, *Request, any) error
	Check     func(context.Context, *Request, any) error
	Status    func(context.Context, *Request, any) error
	GC        func(context.Context, *Request, any, Attachments) error
}

func (d Definition[C]) command() command {
	c := command{
		Name: d.Name, IPAM: d.IPAM, Chained: d.Chained, TakesPrev: d.TakesPrev, Args: d.Args,
		ForeignNetns: d.ForeignNetns, IgnoresIfName: d.IgnoresIfName,
		newConfig: newConfig[C],
		Del:       forget(d.Del),
		Check:     forget(d.Check),
		Status:    forget(d.Status),
	}
	c.Add = func(ctx context.Context, req *Request, config any) (*current.Result, error) {
		return d.Add(ctx, req, config.(*C))
	}
	if d.GC != nil {
		c.GC = func(ctx context.Context, req *Request, config any, valid Attachments) error {
			return d.GC(ctx, req, config.(*C), valid)
		}
	}
	return c
}

// forget makes a function that takes any configuration of one that takes a
// certain type; nil stays nil.
func forget[C any](fn func(context.Context, *Request, *C) error) func(context.Context, *Request, any) error {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, req *Request, config any) error { return fn(ctx, req, config.(*C)) }
}

func newConfig[C any]() any {
	config := new(C)
	if d, ok := any(config).(conf.Defaulter); ok {
		d.Default()
	}
	return config
}
