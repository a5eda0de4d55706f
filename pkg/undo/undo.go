// SPDX-License-Identifier: Apache-2.0

// Package undo keeps the steps that take back what a command has done so far.
//
// A step is pushed on the line after the change it takes back, with a name a
// reader of an error message understands:
//
//	host, container, err := createPair(...)
//	if err != nil {
//		return err
//	}
//	stack.Push("veth pair", func() error { return link.Delete(host) })
//
// Undoing is a courtesy to the caller of a failed ADD, never something to rely
// on: the process may be killed between any two instructions, and DEL has to
// cope with whatever it left.
package undo

import (
	"context"
	"errors"
	"fmt"
)

// Stack holds undo steps, newest last. The zero value is ready to use; a Stack
// is not safe for concurrent use.
type Stack struct {
	steps  []step
	pushed int
	fault  *Fault
}

type step struct {
	what string
	fn   func() error
}

// Fault makes one push of a stack fail, so that a test can see what a command
// leaves behind when it is interrupted right after that step.
type Fault struct {
	At    int    // number of the push that fails, counted from 1
	Fired string // name of the step at which it happened, empty until then
}

// Tripped is the value a stack panics with at its Fault. It is an error, so
// that whoever recovers it can report it like any other failure.
type Tripped struct{ What string }

func (t Tripped) Error() string { return "interrupted on purpose after " + t.What }

type faultKey struct{}

// WithFault returns a context whose stacks (see New) fail at fault.
func WithFault(ctx context.Context, fault *Fault) context.Context {
	return context.WithValue(ctx, faultKey{}, fault)
}

// New returns an empty stack that honours the Fault in ctx, if there is one.
func New(ctx context.Context) *Stack {
	fault, _ := ctx.Value(faultKey{}).(*Fault)
	return &Stack{fault: fault}
}

// Push adds a step: fn takes back what the caller has just done, what names it.
// It panics with Tripped where a Fault asks for it, after adding the step.
func (s *Stack) Push(what string, fn func() error) {
	s.steps = append(s.steps, step{what, fn})
	s.pushed++
	if s.fault != nil && s.fault.At == s.pushed {
		s.fault.Fired = what
		panic(Tripped{what})
	}
}

// Unwind runs every step, newest first, and empties the stack. A step that
// fails or panics does not stop the others; what went wrong is joined, each
// error prefixed with its step's name.
func (s *Stack) Unwind() error {
	var errs []error
	for len(s.steps) > 0 {
		last := s.steps[len(s.steps)-1]
		s.steps = s.steps[:len(s.steps)-1]
		if err := last.run(); err != nil {
			errs = append(errs, fmt.Errorf("undo %s: %w", last.what, err))
		}
	}
	return errors.Join(errs...)
}

func (s step) run() (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v", value)
		}
	}()
	return s.fn()
}
