// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"
)

// Others are the attachments beside one that is being added.
type Others interface {
	Any() bool
	Heal() // puts back what they have lost
}

// HealingFirst adds an attachment's rules. Where those of all others are missing
// as well, the table or what is in the chain that all share, somebody has flushed
// them, unless there are no others. Then add stops with what it has not written yet,
// the others are healed, so that a port of theirs is not free for the new one, and
// add is called once more. Masquerading with iptables does not notice.
func HealingFirst(ctx context.Context, others Others, add func(context.Context) error) error {
	err := add(context.WithValue(ctx, othersKey{}, others))
	if !errors.Is(err, errFlushed) {
		return err
	}
	others.Heal()
	return add(ctx)
}

// HealingAfter is HealingFirst for rules that are in nobody's way: the others are
// healed after add. Its rules may be what makes others need some, too: those that
// have chosen iptables by what FORWARD holds.
func HealingAfter(ctx context.Context, others Others, add func(context.Context) error) error {
	later := &healedLater{Others: others}
	if err := add(context.WithValue(ctx, othersKey{}, later)); err != nil {
		return err
	}
	if later.flushed {
		others.Heal()
	}
	return nil
}

// healedLater lets nobody stop.
type healedLater struct {
	Others
	flushed bool
}

func (h *healedLater) Any() bool {
	h.flushed = h.Others.Any()
	return false
}

type othersKey struct{}

var errFlushed = errors.New("somebody has flushed the rules")

// stopAtFlush is for who finds that the rules of all are missing.
func stopAtFlush(ctx context.Context) error {
	if others, _ := ctx.Value(othersKey{}).(Others); others != nil && others.Any() {
		return errFlushed
	}
	return nil
}
