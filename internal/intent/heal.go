// SPDX-License-Identifier: Apache-2.0

//go:build linux

package intent

import (
	"errors"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// Heal calls restore for each attachment that is not gone, and returns the owners
// of those for which something was lost. It goes on after errors.
func (s Store) Heal(restore func(Intent) (lost bool, err error)) ([]plugin.Owner, error) {
	return s.heal(func(Intent) bool { return true }, restore)
}

// HealNetwork does so for the valid attachments of a network.
func (s Store) HealNetwork(valid plugin.Attachments, restore func(Intent) (lost bool, err error)) error {
	_, err := s.heal(func(i Intent) bool { return valid.Contains(i.Owner()) }, restore)
	return err
}

func (s Store) heal(selected func(Intent) bool, restore func(Intent) (bool, error)) (healed []plugin.Owner, err error) {
	var errs []error
	for _, i := range s.List() {
		if !selected(i) || i.Gone() {
			continue
		}
		lost, err := restore(i)
		if lost && err == nil {
			healed = append(healed, i.Owner())
		}
		errs = append(errs, err)
	}
	return healed, errors.Join(errs...)
}

// Samples returns an intent of each kind, of attachments that are not gone: what
// flushes rules does so to all of a kind.
func (s Store) Samples(kindOf func(Intent) string) []Intent {
	var samples []Intent
	seen := map[string]bool{}
	for _, i := range s.List() {
		if kind := kindOf(i); !seen[kind] && !i.Gone() {
			seen[kind] = true
			samples = append(samples, i)
		}
	}
	return samples
}
