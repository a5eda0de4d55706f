// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package ipam

import (
	"context"
	"os"

	"github.com/containernetworking/cni/pkg/invoke"
)

// execute starts a delegate and returns what it printed.
func execute(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	return (&invoke.RawExec{Stderr: os.Stderr}).ExecPlugin(ctx, path, stdin, environ)
}
