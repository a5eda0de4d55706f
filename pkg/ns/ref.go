// SPDX-License-Identifier: Apache-2.0

package ns

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
)

// ErrAbsent is what Ref.Do returns when there is no namespace to enter.
var ErrAbsent = errors.New("the network namespace does not exist")

// Ref is a reference to a network namespace that may be gone, as it may be in
// a CNI DEL or GC. The zero value refers to no namespace.
type Ref struct {
	netns NetNS
	path  string
	trip  *trip // how to get there and back, if that is known
}

// OpenRef opens the namespace at path. An empty path, a path where nothing is
// and a path to something else than a network namespace (a file left over from
// an unmount, for instance) give an absent Ref and no error.
func OpenRef(path string) (Ref, error) {
	if path == "" {
		return Ref{}, nil
	}
	netns, err := GetNS(path)
	if isAbsent(err) {
		return Ref{path: path}, nil
	}
	if err != nil {
		return Ref{}, err
	}
	return RefTo(netns, path), nil
}

// RefTo returns a Ref to netns, which may be nil, as found at path. Closing
// the Ref closes netns.
func RefTo(netns NetNS, path string) Ref { return Ref{netns: netns, path: path} }

// RefFrom is RefTo for who knows home, the namespace that all threads of the process
// are in: Do goes there and back on the caller's thread. Closing the Ref closes both.
func RefFrom(home, netns NetNS, path string) Ref {
	return Ref{netns: netns, path: path, trip: &trip{there: netns, home: home}}
}

// Present tells whether there is a namespace.
func (r Ref) Present() bool { return r.netns != nil }

// Path returns the path as it was given, also when the namespace is absent.
func (r Ref) Path() string { return r.path }

// NS returns the namespace, or nil when it is absent.
func (r Ref) NS() NetNS { return r.netns }

// Do runs fn inside the namespace; when there is none it returns ErrAbsent.
func (r Ref) Do(fn func() error) error {
	if r.netns == nil {
		return ErrAbsent
	}
	if r.trip != nil && r.trip.away.CompareAndSwap(false, true) {
		return r.trip.do(fn)
	}
	if own, ok := r.netns.(interface{ inside(func() error) error }); ok {
		return own.inside(fn)
	}
	return r.netns.Do(func(NetNS) error { return fn() })
}

// Close closes the namespace, if there is one.
func (r Ref) Close() error {
	if r.netns == nil {
		return nil
	}
	err := r.netns.Close()
	if r.trip != nil {
		err = errors.Join(err, r.trip.home.Close())
	}
	return err
}

// trip goes to a namespace and back on the calling goroutine's thread. That saves
// the goroutine of NetNS.Do, whose stack has to grow first, and opening home.
type trip struct {
	there, home NetNS
	away        atomic.Bool // somebody is there: perhaps the caller, whose home it is not
}

func (t *trip) do(fn func() error) error {
	runtime.LockOSThread()
	if err := t.there.Set(); err != nil {
		t.end()
		return err
	}
	defer t.comeBack()
	return fn()
}

// ErrStranded is part of the error with which a goroutine panics that cannot come
// back from a network namespace, rather than go on in the wrong one. The kernel has
// no reason to refuse it.
var ErrStranded = errors.New("the thread is in the wrong network namespace")

// comeBack panics with ErrStranded where it cannot.
func (t *trip) comeBack() {
	if err := t.home.Set(); err != nil {
		panic(fmt.Errorf("%w: come back from %q: %w", ErrStranded, t.there.Path(), err))
	}
	t.end()
}

func (t *trip) end() {
	t.away.Store(false)
	runtime.UnlockOSThread()
}
