// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"errors"

	"github.com/containernetworking/plugins/pkg/ns"
)

// TempNS makes a network namespace that goes away with the test, which it skips
// where none can be made. Its path can be handed to other processes.
func TempNS(tb interface {
	TB
	Cleanup(fn func())
}) ns.NetNS {
	tb.Helper()
	Need(tb, "root")
	netns, err := NewNS()
	if err != nil {
		tb.Fatalf("make a network namespace: %v", err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(netns.Close(), UnmountNS(netns)); err != nil {
			tb.Fatalf("remove a network namespace: %v", err)
		}
	})
	return netns
}

// Inside runs fn in a network namespace. fn may fail the test and panic as it
// could outside. A namespace that cannot be entered, having been closed, ends the
// test with a panic.
func Inside(netns ns.NetNS, fn func()) {
	err := netns.Do(func(ns.NetNS) error {
		fn()
		return nil
	})
	if err != nil {
		panic(err)
	}
}
