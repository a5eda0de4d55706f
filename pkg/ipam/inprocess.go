// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/containernetworking/cni/pkg/types"
)

// InProcess runs one command ("ADD", "CHECK", "DEL", "STATUS" or "GC") of a
// plugin in this process, as the process of its own that it would otherwise be:
// with the same environment, given stdin, and printing to stdout. An error holds
// the *types.Error that would be printed.
type InProcess func(ctx context.Context, verb string, stdin []byte, stdout io.Writer) error

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

// run has the delegate at path carry out a command, and returns what it
// printed.
func run(ctx context.Context, path, verb string, stdin []byte) ([]byte, error) {
	if linked, ok := ctx.Value(linkedKey{}).(Linked); ok {
		if call := linked(path); call != nil {
			return callInProcess(ctx, call, verb, stdin)
		}
	}
	return execute(ctx, path, stdin, environ(verb))
}

// callInProcess returns the error as a process could have returned it: what is
// printed, and nothing else.
func callInProcess(ctx context.Context, call InProcess, verb string, stdin []byte) ([]byte, error) {
	var stdout bytes.Buffer
	err := call(ctx, verb, stdin, &stdout)
	var printed *types.Error
	if errors.As(err, &printed) {
		err = printed
	}
	return stdout.Bytes(), err
}
