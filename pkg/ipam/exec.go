// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"context"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/pkg/conf"
)

// ExecAdd runs the IPAM plugin with the given name, found in CNI_PATH, with ADD
// and returns its result. netconf is the whole configuration of the calling
// plugin, passed on byte for byte; the environment is inherited.
func ExecAdd(plugin string, netconf []byte) (types.Result, error) {
	return execAdd(context.Background(), plugin, netconf)
}

// ExecCheck runs the IPAM plugin with CHECK, as ExecAdd does with ADD.
func ExecCheck(plugin string, netconf []byte) error {
	return execVerb(context.Background(), "CHECK", plugin, netconf)
}

// ExecDel runs the IPAM plugin with DEL, as ExecAdd does with ADD.
func ExecDel(plugin string, netconf []byte) error {
	return execVerb(context.Background(), "DEL", plugin, netconf)
}

// ExecStatus runs the IPAM plugin with STATUS, as ExecAdd does with ADD.
func ExecStatus(plugin string, netconf []byte) error {
	return execVerb(context.Background(), "STATUS", plugin, netconf)
}

// ExecGC runs the IPAM plugin with GC, as ExecAdd does with ADD.
func ExecGC(plugin string, netconf []byte) error {
	return execVerb(context.Background(), "GC", plugin, netconf)
}

func execAdd(ctx context.Context, plugin string, netconf []byte) (types.Result, error) {
	path, err := find(plugin)
	if err != nil {
		return nil, err
	}
	return invoke.ExecPluginWithResult(ctx, path, netconf, &invoke.DelegateArgs{Command: "ADD"}, &executor{})
}

func execVerb(ctx context.Context, verb, plugin string, netconf []byte) error {
	path, err := find(plugin)
	if err != nil {
		return err
	}
	return invoke.ExecPluginWithoutResult(ctx, path, netconf, &invoke.DelegateArgs{Command: verb}, &executor{})
}

func find(plugin string) (string, error) {
	return invoke.FindInPath(plugin, filepath.SplitList(os.Getenv("CNI_PATH")))
}

// executor is the invoke.Exec of this package; see run for what it does
// differently from the library's.
type executor struct{ version.PluginDecoder }

var _ invoke.Exec = (*executor)(nil)

// ExecPlugin implements invoke.Exec.
func (*executor) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	stdout, err := run(ctx, path, stdin, environ)
	if err != nil || len(stdout) == 0 {
		return stdout, err
	}
	var problems conf.Problems
	conf.RejectNulls(&problems, "answer of "+filepath.Base(path), stdout)
	if err := problems.Err(); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, err.Error(), "")
	}
	return stdout, nil
}

// FindInPath implements invoke.Exec.
func (*executor) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}
