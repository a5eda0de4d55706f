// SPDX-License-Identifier: Apache-2.0

// Package ns opens network namespaces and runs code inside them.
//
// A network namespace belongs to an OS thread, not to a goroutine. Do takes
// care of that: it runs its callback on a thread which nothing else uses until
// it has returned. What the callback starts is another matter: a new goroutine
// runs on any thread, so it does not run in the namespace. A command run with
// os/exec by the callback itself does.
package ns

import (
	"errors"
	"io/fs"
)

// NetNS is an open network namespace.
type NetNS interface {
	// Do runs the callback inside the namespace and returns its error. The
	// callback gets the namespace Do was called in, which is closed when Do
	// returns. A panic in the callback becomes a panic of Do's caller.
	Do(toRun func(NetNS) error) error

	// Set moves the calling OS thread into the namespace. The caller has to
	// hold the thread with runtime.LockOSThread.
	Set() error

	// Path returns the path the namespace was opened with.
	Path() string

	// Fd returns the file descriptor, which is valid until Close.
	Fd() uintptr

	// Close gives the handle up. It does not disturb a Do that is under way.
	// Closing twice is an error.
	Close() error
}

// NSPathNotExistErr says that there is nothing at a namespace's path.
// Functions of this package return it as a plain value, never wrapped.
type NSPathNotExistErr struct{ msg string }

func (e NSPathNotExistErr) Error() string { return e.msg }

// Is makes errors.Is(err, fs.ErrNotExist) true.
func (e NSPathNotExistErr) Is(target error) bool { return target == fs.ErrNotExist }

// NSPathNotNSErr says that what is at a path is not a network namespace.
// Functions of this package return it as a plain value, never wrapped.
type NSPathNotNSErr struct{ msg string }

func (e NSPathNotNSErr) Error() string { return e.msg }

// WithNetNSPath opens the namespace at nspath and runs toRun inside it, as
// NetNS.Do does. An error of opening it is returned as GetNS gave it.
func WithNetNSPath(nspath string, toRun func(NetNS) error) error {
	netns, err := GetNS(nspath)
	if err != nil {
		return err
	}
	defer netns.Close()
	return netns.Do(toRun)
}

// Call runs fn inside netns and returns what fn returns.
func Call[T any](netns NetNS, fn func() (T, error)) (T, error) {
	var value T
	err := netns.Do(func(NetNS) (err error) {
		value, err = fn()
		return err
	})
	return value, err
}

// isAbsent tells whether err says that a path leads to no network namespace.
func isAbsent(err error) bool {
	var notExist NSPathNotExistErr
	var notNS NSPathNotNSErr
	return errors.As(err, &notExist) || errors.As(err, &notNS)
}
