// SPDX-License-Identifier: Apache-2.0

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

type othersKey struct{}

var errFlushed = errors.New("somebody has flushed the rules")

// stopAtFlush is for who finds that the rules of all are missing.
func stopAtFlush(ctx context.Context) error {
	if others, ok := ctx.Value(othersKey{}).(Others); ok && others.Any() {
		return errFlushed
	}
	return nil
}
