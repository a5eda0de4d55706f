// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// daemon holds the attachments.
type daemon struct {
	settings
	journal *journal
	watch   *watch
	running sync.WaitGroup // attachments

	mu          sync.Mutex
	lives       context.Context // of all attachments
	attachments map[plugin.Owner]*attachment
}

func newDaemon(s settings, journal *journal) *daemon {
	return &daemon{settings: s, journal: journal, attachments: map[plugin.Owner]*attachment{}}
}

// methods are what plugins can call.
func (d *daemon) methods() map[string]method {
	return map[string]method{
		methodAllocate: d.allocate,
		methodRelease:  d.release,
		methodGC:       d.collect,
		methodLimits: func(context.Context, *skel.CmdArgs) (answer, error) {
			return answer{reply: daemonLimits{Acquire: d.limits.resendTimeout}}, nil
		},
	}
}

// open begins to watch the links and takes up what the journal says. ctx ends
// all attachments.
func (d *daemon) open(ctx context.Context) {
	d.lives = ctx
	d.watch = startWatch(ctx, d.log)
	records, err := d.journal.read()
	if err != nil {
		d.log.Printf("%v", err)
	}
	for _, r := range records {
		a, err := revive(d.settings, r)
		if err != nil {
			d.log.Printf("%v", err)
			continue
		}
		d.enter(a)
	}
}

// allocate returns the leases of an attachment, which it may have already.
func (d *daemon) allocate(ctx context.Context, args *skel.CmdArgs) (answer, error) {
	a, err := d.find(ctx, args)
	if err != nil {
		return answer{}, err
	}
	result, err := a.wait(ctx)
	if err != nil {
		a.leave(err)
		return answer{}, err
	}
	return answer{reply: result, done: a.leave}, nil
}

// find returns the attachment that args are about, which it enters if it is not
// there, for a caller who is to leave it. One of that name on another interface is
// over, but a CHECK does not end it while that is still there.
func (d *daemon) find(ctx context.Context, args *skel.CmdArgs) (*attachment, error) {
	config, err := decodeConfig(args.StdinData)
	if err != nil {
		return nil, err
	}
	if err := config.IPAM.checkArgs(args.Args); err != nil {
		return nil, err
	}
	a := newAttachment(d.settings, config, args)
	at, err := findPlace(d.hostPrefix, args.Netns, args.IfName)
	if err != nil {
		return nil, err
	}
	a.settle(at)
	a.waiting = 1
	for {
		found, isNew := d.enter(a)
		if isNew || found.place.same(at) && found.join() {
			return found, nil
		}
		if config.isOfCheck() && found.place.isThere(d.hostPrefix) {
			return nil, fmt.Errorf("the lease is that of link #%d in %s, and %s is another interface now", found.place.Index, found.place.Netns, args.IfName)
		}
		if err := found.stop(ctx, errors.New("its place is another one now")); err != nil {
			return nil, err
		}
	}
}

// enter starts an attachment, unless there is one of that name.
func (d *daemon) enter(a *attachment) (entered *attachment, isNew bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if there := d.attachments[a.owner]; there != nil {
		return there, false
	}
	d.attachments[a.owner] = a
	a.saved, a.ended = d.save, d.remove
	d.running.Add(1)
	a.ctx, a.cancel = context.WithCancelCause(d.lives)
	d.watch.add(a)
	a.start()
	return a, true
}

func (d *daemon) save(a *attachment) {
	a.saving.Lock()
	defer a.saving.Unlock()
	if err := d.journal.write(a.owner, recordOf(a)); err != nil {
		a.logf("%v", err)
	}
}

func (d *daemon) remove(a *attachment) {
	d.watch.remove(a)
	if !errors.Is(a.cause, errShutdown) {
		if err := d.journal.remove(a.owner); err != nil {
			a.logf("%v", err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.attachments, a.owner)
	d.running.Done()
}

// release ends an attachment. That there is none, is fine.
func (d *daemon) release(ctx context.Context, args *skel.CmdArgs) (answer, error) {
	released := answer{reply: struct{}{}}
	owner := ownerOf(decodeAnyway(args.StdinData), args)
	if a := d.get(owner); a != nil {
		return released, a.stop(ctx, errReleased)
	}
	return released, d.forget(owner)
}

// forget removes a record that could not be read, unless there is an attachment
// by now.
func (d *daemon) forget(owner plugin.Owner) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.attachments[owner] != nil {
		return nil
	}
	return d.journal.remove(owner)
}

// collect ends the attachments of a network that are not among the valid ones.
func (d *daemon) collect(ctx context.Context, args *skel.CmdArgs) (answer, error) {
	config := decodeAnyway(args.StdinData)
	valid := plugin.NewAttachments(config.Name, config.ValidAttachments)
	var errs []error
	for _, a := range d.all() {
		if a.owner.Network == config.Name && !valid.Contains(a.owner) {
			errs = append(errs, a.stop(ctx, errReleased))
		}
	}
	return answer{reply: struct{}{}}, errors.Join(errs...)
}

// decodeAnyway decodes what it can: what is wrong with a configuration must not
// keep a lease from being released.
func decodeAnyway(data []byte) *Config {
	config := new(Config)
	var ignored conf.Problems
	_, _ = conf.Decode(data, config, &ignored)
	return config
}

func (d *daemon) get(owner plugin.Owner) *attachment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.attachments[owner]
}

func (d *daemon) all() []*attachment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.attachments))
}

func (d *daemon) count() int { return len(d.all()) }
