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

	"github.com/containernetworking/plugins/pkg/utils/nlattr"
)

// maxWait bounds every wait.
const maxWait = 10 * time.Second

// WaitUp waits until the link with the given index is operationally up, that
// is, can pass packets. It waits for the kernel's events until ctx is done, ten
// seconds at most; the error then says which state the link was in last, and
// wraps that of the context. A link that goes away is an ErrNotFound.
func WaitUp(ctx context.Context, index int) error {
	check := func() (waitingFor, error) {
		message, err := ask(index)
		if err != nil || isUp(operState(message), headerOf(message).Flags) {
			return "", describeError(fmt.Sprintf("#%d", index), err)
		}
		return waitingFor(fmt.Sprintf("%s is %s, waited for it to be up", nameIn(message), operState(message))), nil
	}
	return wait(ctx, check, unix.RTNLGRP_LINK)
}

// isUp tells whether the kernel considers a link usable. Drivers that do not keep
// track of it, those of lo, dummy and others, leave its state unknown for ever
// (Documentation/networking/operstates.rst).
func isUp(state netlink.LinkOperState, flags uint32) bool {
	if state == netlink.OperUnknown {
		return flags&unix.IFF_UP != 0
	}
	return state == netlink.OperUp
}

func operState(message []byte) netlink.LinkOperState {
	return netlink.LinkOperState(nlattr.Number(attribute(message, unix.IFLA_OPERSTATE)))
}

// waitingFor says what has not happened yet; empty: all there is to wait for
// has.
type waitingFor string

// wait asks check until there is nothing left to wait for: once without more
// ado, then right after the subscription to groups of routing events, so that
// nothing is missed in between, and again after every event.
func wait(ctx context.Context, check func() (waitingFor, error), groups ...uint) error {
	if pending, err := check(); pending == "" || err != nil {
		return err
	}
	events, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return fmt.Errorf("subscribe to link events: %w", err)
	}
	defer events.Close()
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	stop := context.AfterFunc(ctx, events.Close) // ends Receive
	defer stop()
	for {
		pending, err := check()
		if pending == "" || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return &timeoutError{pending, ctx.Err()}
		}
		if err := awaitEvent(ctx, events); err != nil {
			return err
		}
	}
}

// awaitEvent returns when an event arrived or ctx is done. Events that did not
// fit the socket's buffer (ENOBUFS) were events.
func awaitEvent(ctx context.Context, events *nl.NetlinkSocket) error {
	_, _, err := events.Receive()
	if err == nil || ctx.Err() != nil || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EINTR) {
		return nil
	}
	return fmt.Errorf("wait for link events: %w", err)
}

// timeoutError says what had not happened when the context was done.
type timeoutError struct {
	pending waitingFor
	cause   error
}

func (e *timeoutError) Error() string { return fmt.Sprintf("link %s: %v", e.pending, e.cause) }

func (e *timeoutError) Unwrap() error { return e.cause }
