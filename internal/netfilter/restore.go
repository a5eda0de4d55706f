// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"errors"
	"fmt"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// owned is what an attachment is meant to have.
type owned interface {
	owner() plugin.Owner
	current() bool // right before a change: see OwnedPassage, OwnedPorts
}

// restoreEach writes, for one attachment after the other, what check finds missing, and
// returns the owners for which it did.
func restoreEach[T owned](all []T, check func(T) (differences []string, err error), write func(T) error) (restored []plugin.Owner, err error) {
	var errs []error
	for _, o := range all {
		differences, err := check(o)
		if err == nil && len(differences) > 0 && o.current() {
			if err = write(o); err == nil {
				restored = append(restored, o.owner())
			}
		}
		errs = append(errs, wrapFor(o, err))
	}
	return restored, errors.Join(errs...)
}

// wrapFor says whose error it is.
func wrapFor(o owned, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", o.owner().Comment(), err)
	}
	return nil
}
