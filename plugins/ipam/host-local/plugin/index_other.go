// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package hostlocal

import (
	"errors"
	"time"
)

var errNotIndexed = errors.New("not in the index")

// index is the index of a system that does not tell when a directory has been
// changed, or where links need privileges: it is never valid, and every lookup
// reads the files.
type index struct{}

func newIndex(_, _ string) index { return index{} }

func (index) valid() bool                             { return false }
func (index) stamp() error                            { return nil }
func (index) remove() error                           { return nil }
func (index) files(string) ([]string, error)          { return nil, errNotIndexed }
func (index) lists(reservation) bool                  { return false }
func (index) set(string, []string, string) error      { return nil }
func (index) home(string) (string, time.Time)         { return "", time.Time{} }
func (index) rebuild(boot, map[string][]string) error { return nil }
func (index) boot() boot                              { return boot{} }
