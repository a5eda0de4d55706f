// SPDX-License-Identifier: Apache-2.0

//go:build linux

package intent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// Alive returns the intents of attachments that are not gone.
func (s Store) Alive() []Intent {
	return slices.DeleteFunc(s.List(), Intent.Gone)
}

// AliveIn returns those of the valid attachments of a network.
func (s Store) AliveIn(valid plugin.Attachments) []Intent {
	return slices.DeleteFunc(s.Alive(), func(i Intent) bool { return !valid.Contains(i.Owner()) })
}

// Holds tells whether an intent that was read earlier is still what its owner has,
// and the owner not gone: others run between a listing and what follows from it.
func (s Store) Holds(i Intent) bool { return s.Has(i) && !i.Gone() }

// Has tells whether an intent that was read earlier is still what its owner has.
func (s Store) Has(i Intent) bool { return i.is(s.Get(i.Owner())) }

func (i Intent) is(now *Intent) bool { return now != nil && reflect.DeepEqual(*now, i) }

// TakeBack calls remove for the attachments that are lost, and forgets them. It
// returns whose that was, and goes on after an error.
func (s Store) TakeBack(remove func(Intent) error) (owners []plugin.Owner, err error) {
	lost, err := s.Lost()
	errs := []error{err}
	for _, i := range lost {
		taken, err := s.takeBack(i, remove)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", i.Owner().Comment(), err))
		case taken:
			owners = append(owners, i.Owner())
		}
	}
	return owners, errors.Join(errs...)
}

// takeBack keeps the ADD of a container that is started again waiting at its Put: what
// that is about to make has the same owner.
func (s Store) takeBack(i Intent, remove func(Intent) error) (taken bool, err error) {
	err = s.locked(func() error {
		if taken = i.is(s.Left(i.Owner())); !taken { // its DEL has come, or that ADD
			return nil
		}
		if err := remove(i); err != nil {
			return err
		}
		return s.Delete(i.Owner())
	})
	return taken, err
}

// Restore puts back what attachments have lost, and returns whose that was. It goes
// on after an error.
type Restore func(context.Context, []Intent) ([]plugin.Owner, error)

// HealNetwork restores the valid attachments of a network.
func (s Store) HealNetwork(ctx context.Context, valid plugin.Attachments, restore Restore) error {
	_, err := restore(ctx, s.AliveIn(valid))
	return err
}

// Others are the live attachments beside that of the request, whose ADD has found that
// somebody has flushed the rules of all (netfilter.HealingFirst).
func (s Store) Others(ctx context.Context, req *plugin.Request, restore Restore) *Others {
	return &Others{ctx: ctx, store: s, req: req, restore: restore}
}

// Others are what Store.Others has returned.
type Others struct {
	ctx     context.Context
	store   Store
	req     *plugin.Request
	restore Restore
	found   []Intent
}

// Any tells whether there are any.
func (o *Others) Any() bool {
	o.found = slices.DeleteFunc(o.store.Alive(), func(i Intent) bool { return i.Owner() == o.req.Owner() })
	return len(o.found) > 0
}

// Heal restores those that Any has found. What they do not get back is no reason
// for the ADD to fail, and said on standard error.
func (o *Others) Heal() {
	if _, err := o.restore(o.ctx, o.found); err != nil {
		plugin.Logf(o.req.Plugin, "somebody has flushed rules of other attachments, and they were not put back: %v", err)
	}
}

// ReportLost says on standard error when what plugins want, such as "rules", was
// flushed. One attachment of each kind stands for all: they are flushed together.
// missing says what one lacks.
func (s Store) ReportLost(what string, kindOf func(Intent) string, missing func(Intent) ([]string, error)) {
	for _, i := range s.Samples(kindOf) {
		if differences, err := missing(i); err == nil && len(differences) > 0 {
			plugin.Logf(s.plugin, "%s were flushed, a GC of their networks puts them back: %s: %s", what, i.Owner().Comment(), differences[0])
		}
	}
}

// Samples returns an intent of each kind, of attachments that are not gone: what
// flushes rules does so to all of a kind.
func (s Store) Samples(kindOf func(Intent) string) []Intent {
	var samples []Intent
	seen := map[string]bool{}
	for _, i := range s.Alive() {
		if kind := kindOf(i); !seen[kind] {
			seen[kind] = true
			samples = append(samples, i)
		}
	}
	return samples
}

// Union adds owners to others, each once: of an attachment several entries may have
// been restored.
func Union(owners, more []plugin.Owner) []plugin.Owner {
	for _, owner := range more {
		if !slices.Contains(owners, owner) {
			owners = append(owners, owner)
		}
	}
	return owners
}
