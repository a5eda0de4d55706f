// SPDX-License-Identifier: Apache-2.0

//go:build linux

package intent

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// Mender puts back what somebody has taken from live attachments.
type Mender struct {
	Store Store

	// Lost tells whether anything is missing of what an intent is about, PutBack
	// makes it, and Remove removes it.
	Lost    func(context.Context, Intent) (bool, error)
	PutBack func(context.Context, Intent) error
	Remove  func(context.Context, Intent) error
}

// Heal does so for all attachments of the host whose network namespace the
// calling thread is in, and returns those that had lost something. It may be
// called at any time, and goes on after an error.
func (m Mender) Heal(ctx context.Context) ([]plugin.Owner, error) {
	return m.restore(ctx, m.Store.Alive())
}

// HealOthers is Heal for all but the owner, whose ADD has found that somebody has
// flushed the rules. That is no reason for it to fail: what others do not get back
// is said on standard error.
func (m Mender) HealOthers(ctx context.Context, owner plugin.Owner) {
	_, err := m.restore(ctx, m.Store.AliveBut(owner))
	ReportUnhealed(err)
}

// ReportUnhealed says what attachments have not got back in the ADD of another.
func ReportUnhealed(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "somebody has flushed rules of other attachments, and they were not put back: %v\n", err)
	}
}

// GC removes what attachments of the network have left that are not valid any
// more, and heals the others.
func (m Mender) GC(ctx context.Context, valid plugin.Attachments) error {
	collected := m.Store.Collect(valid, func(owner plugin.Owner) error {
		if i := m.Store.Get(owner); i != nil {
			return m.Remove(ctx, *i)
		}
		return nil
	})
	_, err := m.restore(ctx, m.Store.AliveIn(valid))
	return errors.Join(collected, err)
}

func (m Mender) restore(ctx context.Context, all []Intent) (restored []plugin.Owner, err error) {
	var errs []error
	for _, i := range all {
		putBack, err := m.restoreOne(ctx, i)
		if putBack {
			restored = append(restored, i.Owner())
		}
		errs = append(errs, err)
	}
	return restored, errors.Join(errs...)
}

// restoreOne takes back what it has done if a DEL, or another ADD, came in between.
// Whoever has the addresses by then may have lost something to it, and gets it back.
func (m Mender) restoreOne(ctx context.Context, i Intent) (bool, error) {
	lost, err := m.Lost(ctx, i)
	if err != nil || !lost || !m.Store.Holds(i) {
		return false, err
	}
	if err := m.PutBack(ctx, i); err != nil {
		return false, err
	}
	if m.Store.Holds(i) {
		return true, nil
	}
	err = m.Remove(ctx, i)
	_, again := m.Heal(ctx)
	return false, errors.Join(err, again)
}
