// SPDX-License-Identifier: Apache-2.0

package ns

import "errors"

// ErrAbsent is what Ref.Do returns when there is no namespace to enter.
var ErrAbsent = errors.New("the network namespace does not exist")

// Ref is a reference to a network namespace that may be gone, as it may be in
// a CNI DEL or GC. The zero value refers to no namespace.
type Ref struct {
	netns NetNS
	path  string
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
func RefTo(netns NetNS, path string) Ref { return Ref{netns, path} }

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
	return r.netns.Close()
}
