// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// WaitUp waits until the link with the given index is operationally up, that
// is, can pass packets. It waits for the kernel's events until the deadline of
// ctx; an error says which state the link was in last.
func WaitUp(ctx context.Context, index int) error {
	state, err := operState(index)
	if err != nil || state == netlink.OperUp {
		return err
	}
	return watch(ctx, unix.RTNLGRP_LINK, func(timedOut bool) (bool, error) {
		state, err := operState(index)
		if err == nil && timedOut {
			err = fmt.Errorf("link #%d did not come up in time: its state is %s", index, state)
		}
		return state == netlink.OperUp, err
	})
}

func operState(index int) (netlink.LinkOperState, error) {
	l, err := FindByIndex(index)
	if err != nil {
		return netlink.OperUnknown, err
	}
	return l.Attrs().OperState, nil
}

// maxWait bounds a wait whose context has no deadline.
const maxWait = 10 * time.Second

// watch asks done again whenever the kernel reports something in a routing
// group, beginning with right after the subscription, so that no event is lost
// in between. Past the deadline of ctx it asks a last time, saying so.
func watch(ctx context.Context, group uint, done func(timedOut bool) (bool, error)) error {
	events, err := nl.Subscribe(unix.NETLINK_ROUTE, group)
	if err != nil {
		return fmt.Errorf("subscribe to link events: %w", err)
	}
	defer events.Close()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(maxWait)
	}
	for {
		remaining := time.Until(deadline)
		timedOut := remaining <= 0 || ctx.Err() != nil
		if finished, err := done(timedOut); finished || err != nil || timedOut {
			return err
		}
		if err := awaitEvent(events, remaining); err != nil {
			return err
		}
	}
}

// awaitEvent returns when an event arrived or the time is over. Events that did
// not fit the socket's buffer (ENOBUFS) were events.
func awaitEvent(events *nl.NetlinkSocket, limit time.Duration) error {
	timeout := unix.NsecToTimeval(max(limit, time.Millisecond).Nanoseconds())
	if err := events.SetReceiveTimeout(&timeout); err != nil {
		return fmt.Errorf("bound the wait for link events: %w", err)
	}
	_, _, err := events.Receive()
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for link events: %w", err)
	}
	return nil
}
