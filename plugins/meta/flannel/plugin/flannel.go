// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the flannel plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     self,
	Versions: version.All,
	Add:      add,
	Check:    check,
	Del:      del,
	Status:   status,
	GC:       gc,
})

// add has the delegate make the interface. The record of it is written before,
// and taken back together with what the delegate did. The result is in the version
// that the delegate is told, which may be one where the configuration has none.
func add(ctx context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	env, err := readSubnetEnv(c.subnetFile())
	if err != nil {
		return nil, asReason(err)
	}
	wanted, err := c.delegation(env)
	if err != nil {
		return nil, err
	}
	c.CNIVersion = text(wanted.config, "cniVersion")
	if err := wanted.Locate(); err != nil {
		return nil, err
	}
	record := c.record(req)
	attached, err := record.load(req)
	if err != nil {
		return nil, plugin.IOError(err)
	}
	if attached != nil && !attached.doubtful {
		return renew(ctx, req, record, attached, wanted)
	}
	if err := record.save(wanted); err != nil {
		return nil, plugin.IOError(err)
	}
	req.Undo.Push("what was delegated", func() error { return record.takeBack(context.WithoutCancel(ctx), wanted) })
	return wanted.attach(ctx)
}

// renew is add for what has been attached before and not been detached. The
// delegate may refuse that; it must not cost the attachment its record then, nor
// have the delegate remove it.
func renew(ctx context.Context, req *plugin.Request, record record, attached, wanted *delegation) (*current.Result, error) {
	if err := record.save(wanted); err != nil {
		return nil, plugin.IOError(err)
	}
	req.Undo.Push("the record of the delegate", func() error { return record.restore(attached) })
	result, err := wanted.attach(ctx)
	if err != nil {
		return nil, err
	}
	req.Undo.Push("what was delegated", func() error { return wanted.Del(context.WithoutCancel(ctx)) })
	return result, nil
}

// asReason gives an error about the subnet file the code with which ADD fails.
func asReason(err error) error {
	var io *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return plugin.WithCode(types.ErrTryAgainLater, err)
	case errors.As(err, &io):
		return plugin.IOError(err)
	}
	return plugin.WithCode(types.ErrDecodingFailure, err)
}

// check has the delegate check what it has made.
func check(ctx context.Context, req *plugin.Request, c *Config) error {
	record := c.record(req)
	attached, err := record.load(req)
	if err != nil {
		return plugin.IOError(err)
	}
	if attached == nil || !attached.Configured() {
		return fmt.Errorf("%s is missing or broken, the record of what was delegated: DEL will remove nothing", record.path())
	}
	return attached.withPrevious(&c.Common).Check(ctx)
}

// del has the delegate remove what it was told to make. Without a record there
// is nothing left to remove.
func del(ctx context.Context, req *plugin.Request, c *Config) error {
	record := c.record(req)
	attached, err := record.load(req)
	if err != nil {
		return plugin.IOError(err)
	}
	if attached == nil {
		return nil
	}
	return record.detach(ctx, attached)
}

// status tells whether flanneld has said enough, and the delegate's verdict.
func status(ctx context.Context, _ *plugin.Request, c *Config) error {
	env, err := readSubnetEnv(c.subnetFile())
	if err != nil {
		return err
	}
	wanted, err := c.delegation(env)
	if err != nil {
		return err
	}
	return wanted.Status(ctx)
}

// gc has the delegate detach every attachment of the network that has a record
// and is not valid, and collect what it has besides.
func gc(ctx context.Context, req *plugin.Request, c *Config, valid plugin.Attachments) error {
	records, err := c.records(req.Network)
	errs := []error{plugin.IOError(err)}
	for _, stale := range records {
		if !stale.validIn(valid) {
			errs = append(errs, stale.collect(ctx))
		}
	}
	return errors.Join(append(errs, c.forwardGC(ctx))...)
}

// forwardGC passes GC on to the delegate. To remove things it may not need to
// know the node's subnet, which flanneld may not have told yet.
func (c *Config) forwardGC(ctx context.Context) error {
	env, _ := readSubnetEnv(c.subnetFile())
	wanted, err := c.delegation(env)
	if err != nil {
		return err
	}
	return wanted.with("cni.dev/valid-attachments", c.ValidAttachments).GC(ctx)
}
