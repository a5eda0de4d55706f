// SPDX-License-Identifier: Apache-2.0

//go:build linux

package intent

import (
	"context"
	"errors"
	"fmt"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// Mender remembers what attachments have, and puts back what somebody has taken
// from them. T is what their intents contain.
type Mender[T any] struct {
	Store Store
	What  string // "the masquerading"

	// Lost tells whether anything is missing, PutBack makes it, and Remove
	// removes it.
	Lost    func(context.Context, plugin.Owner, T) (bool, error)
	PutBack func(context.Context, plugin.Owner, T) error
	Remove  func(context.Context, plugin.Owner, T) error

	// Mended is told what was put back, of all for whom that was done. It may be nil.
	Mended func([]T)
}

// Remember keeps what the attachment of a request is to have. That works without
// it, but nobody could put it back.
func (m Mender[T]) Remember(req *plugin.Request, content T) {
	m.kept().Remember(req, content, fmt.Sprintf("%s of %s cannot be put back when somebody flushes it", m.What, req.Owner().Comment()))
}

func (m Mender[T]) kept() Kept[T] { return Kept[T]{m.Store} }

// Forget removes what is kept of an attachment, before what it has: else somebody
// could put that back. DEL has to find it without.
func (m Mender[T]) Forget(owner plugin.Owner) error { return m.Store.Delete(owner) }

// Heal puts back what live attachments of the host have lost whose network
// namespace the calling thread is in, and returns whose that was. It may be called
// at any time, and goes on after an error.
func (m Mender[T]) Heal(ctx context.Context) ([]plugin.Owner, error) {
	return m.restore(ctx, m.Store.Alive())
}

// Others are all but that of the request, as Store.Others.
func (m Mender[T]) Others(ctx context.Context, req *plugin.Request) *Others {
	return m.Store.Others(ctx, req, m.restore)
}

// GC removes what attachments of the network have left that are not valid any
// more, and heals the others.
func (m Mender[T]) GC(ctx context.Context, valid plugin.Attachments) error {
	collected := m.Store.Collect(valid, func(owner plugin.Owner) error {
		i := m.Store.Left(owner)
		if i == nil {
			return nil
		}
		content, err := m.Content(*i)
		if err != nil {
			return err
		}
		return m.Remove(ctx, owner, content)
	})
	return errors.Join(collected, m.Store.HealNetwork(ctx, valid, m.restore))
}

// TakeBack removes what attachments have left that are lost, see Store.TakeBack.
func (m Mender[T]) TakeBack(ctx context.Context) ([]plugin.Owner, error) {
	return m.Store.TakeBack(func(i Intent) error {
		content, err := m.Content(i)
		if err != nil {
			return err
		}
		return m.Remove(ctx, i.Owner(), content)
	})
}

// Content returns what an intent contains.
func (m Mender[T]) Content(i Intent) (content T, err error) {
	content, err = m.kept().Content(i)
	if err != nil {
		return content, fmt.Errorf("%s of %s, as it was remembered: %w", m.What, i.Owner().Comment(), err)
	}
	return content, nil
}

func (m Mender[T]) restore(ctx context.Context, all []Intent) (restored []plugin.Owner, err error) {
	var errs []error
	var mended []T
	for _, i := range all {
		content, putBack, err := m.restoreOne(ctx, i)
		if putBack {
			restored, mended = append(restored, i.Owner()), append(mended, content)
		}
		errs = append(errs, err)
	}
	if m.Mended != nil && len(mended) > 0 {
		m.Mended(mended)
	}
	return restored, errors.Join(errs...)
}

// restoreOne takes back what it has done if a DEL, or another ADD, came in between.
// Whoever has the addresses by then may have lost something to it, and gets it back.
func (m Mender[T]) restoreOne(ctx context.Context, i Intent) (content T, putBack bool, err error) {
	content, err = m.Content(i)
	if err != nil {
		return content, false, err
	}
	lost, err := m.Lost(ctx, i.Owner(), content)
	if err != nil || !lost || !m.Store.Holds(i) {
		return content, false, err
	}
	if err := m.PutBack(ctx, i.Owner(), content); err != nil {
		return content, false, err
	}
	if m.Store.Holds(i) {
		return content, true, nil
	}
	err = m.Remove(ctx, i.Owner(), content)
	_, again := m.Heal(ctx)
	return content, false, errors.Join(err, again)
}
