// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"

	"github.com/containernetworking/plugins/pkg/ns"
)

// Background starts fn in the network namespace of the calling thread and
// returns a function that waits for its end and returns its error; a panic is
// one too. It is for work that has nothing to do with what the caller does
// meanwhile, such as removing rules while the kernel takes its time to delete a
// link.
func Background(fn func() error) (wait func() error) {
	here, err := ns.GetCurrentNS()
	if err != nil { // no /proc: the calling thread is in the right place
		return func() error { return protect(fn) }
	}
	done := make(chan error, 1)
	go func() {
		err := protect(func() error { return here.Do(func(ns.NetNS) error { return fn() }) })
		done <- errors.Join(err, here.Close())
	}()
	return func() error { return <-done }
}
