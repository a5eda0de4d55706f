// SPDX-License-Identifier: Apache-2.0

//go:build linux

package intent

import (
	"reflect"
	"slices"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// Alive returns the intents of attachments that are not gone.
func (s Store) Alive() []Intent {
	return slices.DeleteFunc(s.List(), Intent.Gone)
}

// AliveBut returns those of others than the owner.
func (s Store) AliveBut(owner plugin.Owner) []Intent {
	return slices.DeleteFunc(s.Alive(), func(i Intent) bool { return i.Owner() == owner })
}

// AliveIn returns those of the valid attachments of a network.
func (s Store) AliveIn(valid plugin.Attachments) []Intent {
	return slices.DeleteFunc(s.Alive(), func(i Intent) bool { return !valid.Contains(i.Owner()) })
}

// Holds tells whether an intent that was read earlier is still what its owner has,
// and the owner not gone: others run between a listing and what follows from it.
func (s Store) Holds(i Intent) bool {
	now := s.Get(i.Owner())
	return now != nil && reflect.DeepEqual(*now, i) && !i.Gone()
}

// Samples returns an intent of each kind, of attachments that are not gone: what
// flushes rules does so to all of a kind.
func (s Store) Samples(kindOf func(Intent) string) []Intent {
	var samples []Intent
	seen := map[string]bool{}
	for _, i := range s.Alive() {
		if kind := kindOf(i); !seen[kind] {
			seen[kind] = true
			samples = append(samples, i)
		}
	}
	return samples
}
