// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/sdnotify"
)

const (
	// settle is how long rules are left alone after somebody has taken some away:
	// whoever flushes rules has not come to the end with the first.
	settle = 200 * time.Millisecond
	// lookAgain is how long it waits when nothing happens: nobody is told what becomes
	// of the rules of iptables-legacy.
	lookAgain = time.Minute
)

// watch heals when it begins, whenever somebody takes rules away, and once a minute,
// until ctx is done.
func watch(ctx context.Context, stdout, stderr io.Writer) (status int) {
	losses, err := netfilter.WatchLosses(append(names(), own))
	if err != nil {
		fmt.Fprintf(stderr, "cni-plugins: watch: %v\n", err)
		return 1
	}
	defer losses.Close()
	lost := make(chan error, 1)
	go tell(losses, lost)

	healed := func() bool {
		healed, _ := healAll(ctx, stdout, stderr) // what is wrong has been said, and may be over by the next time
		return healed
	}
	healed()
	if err := sdnotify.Ready(); err != nil {
		fmt.Fprintf(stderr, "cni-plugins: watch: %v\n", err)
	}
	if err := keepHealed(ctx, lost, healed); err != nil {
		fmt.Fprintf(stderr, "cni-plugins: watch: %v\n", err)
		return 1
	}
	return 0
}

// tell passes losses on, all that come while nobody listens as one, and the error after
// which there are no more.
func tell(losses *netfilter.Losses, lost chan<- error) {
	for {
		err := losses.Next()
		if err != nil {
			lost <- err
			return
		}
		select {
		case lost <- nil:
		default:
		}
	}
}

// keepHealed heals after each loss, and says whether there was anything to put back, until
// ctx is done. Against somebody who takes the rules away again as soon as they are back it
// does not fight as fast as it can: the pause doubles.
func keepHealed(ctx context.Context, lost <-chan error, healed func() bool) error {
	pause := settle
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-lost:
			if err != nil {
				return err
			}
			if time.Since(last) > pause {
				pause = settle
			}
			if !waited(ctx, pause) {
				return nil
			}
		case <-time.After(lookAgain):
		}
		if healed() {
			pause = min(2*pause, lookAgain)
		} else {
			pause = settle
		}
		last = time.Now()
	}
}

// waited returns after a pause, or when ctx is done: false.
func waited(ctx context.Context, pause time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}
