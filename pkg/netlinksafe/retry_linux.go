// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attempts is how often a list is asked for. There is no pause between them:
// every attempt is a system call that takes the lock the change held.
const attempts = 5

// InterruptedError says that a list changed during every attempt to get it.
// Trying again later is likely to work. It unwraps to
// netlink.ErrDumpInterrupted.
type InterruptedError struct {
	What     string // what was being listed
	Attempts int    // how often
}

func (e *InterruptedError) Error() string {
	return fmt.Sprintf("list %s: interrupted by changes %d times in a row, try again later", e.What, e.Attempts)
}

// Unwrap returns netlink.ErrDumpInterrupted.
func (e *InterruptedError) Unwrap() error { return netlink.ErrDumpInterrupted }

// retry calls list until it is not interrupted.
func retry[T any](what string, list func() (T, error)) (T, error) {
	for range attempts {
		found, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return found, err
		}
	}
	var none T
	return none, &InterruptedError{what, attempts}
}

// Dump asks for a list with a request of the caller's own, on a socket of the
// given netlink protocol, and returns the messages that list what, without
// their headers. An answer other than 0 leaves messages of other types out.
func Dump(what string, request *nl.NetlinkRequest, protocol int, answer uint16) ([][]byte, error) {
	request.Flags |= unix.NLM_F_DUMP
	return retry(what, func() ([][]byte, error) { return request.Execute(protocol, answer) })
}

// retryDelete is retry for a call that deletes what it lists: an interrupted
// attempt has deleted something too, so the numbers add up.
func retryDelete(del func() (uint, error)) (uint, error) {
	var total uint
	_, err := retry("connections", func() (uint, error) {
		deleted, err := del()
		total += deleted
		return deleted, err
	})
	return total, err
}
