// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"context"
	"errors"

	"github.com/containernetworking/cni/pkg/types"
)

// InProcess runs one command ("ADD", "CHECK", "DEL", "STATUS" or "GC") of a
// plugin in this process, as the process of its own that it would otherwise be:
// with the same environment, given stdin, and printing to answer. An error holds
// the *types.Error that would be printed.
type InProcess func(ctx context.Context, verb string, stdin []byte, answer *Answer) error

// Answer is what a plugin answers: what it prints or, in this process, its
// result as it is, which then is neither printed nor read.
type Answer struct {
	Result  types.Result
	printed []byte
}

// Write appends to what is printed.
func (a *Answer) Write(p []byte) (int, error) {
	a.printed = append(a.printed, p...)
	return len(p), nil
}

// Linked finds, among the plugins that are part of this executable, the one
// that the executable at path is; nil if it is none of them.
type Linked func(path string) InProcess

type linkedKey struct{}

// WithLinked returns a context in which delegates that linked finds are called
// rather than started: starting a process takes longer than all that host-local
// does in it.
func WithLinked(ctx context.Context, linked Linked) context.Context {
	return context.WithValue(ctx, linkedKey{}, linked)
}

// run has the delegate at path carry out a command.
func run(ctx context.Context, path, verb string, stdin []byte) (Answer, error) {
	if linked, ok := ctx.Value(linkedKey{}).(Linked); ok {
		if call := linked(path); call != nil {
			return callInProcess(ctx, call, verb, stdin)
		}
	}
	printed, err := execute(ctx, path, stdin, environ(verb))
	return Answer{printed: printed}, err
}

// callInProcess returns the error as a process could have returned it: what is
// printed, and nothing else.
func callInProcess(ctx context.Context, call InProcess, verb string, stdin []byte) (answer Answer, err error) {
	err = call(ctx, verb, stdin, &answer)
	var printed *types.Error
	if errors.As(err, &printed) {
		err = printed
	}
	return answer, err
}
