// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/types/create"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/pkg/conf"
)

// ExecAdd runs the IPAM plugin with the given name, found in CNI_PATH, with ADD
// and returns its result. netconf is the whole configuration of the calling
// plugin, passed on byte for byte; the environment is inherited.
func ExecAdd(plugin string, netconf []byte) (types.Result, error) {
	path, err := find(plugin)
	if err != nil {
		return nil, err
	}
	return execAdd(context.Background(), path, netconf)
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

// execAdd runs the delegate at path with ADD and returns its result.
func execAdd(ctx context.Context, path string, netconf []byte) (types.Result, error) {
	answer, err := run(ctx, path, "ADD", netconf)
	if err != nil {
		return nil, err
	}
	return answer.result(path, netconf)
}

// result returns the result of the ADD that the delegate at path has answered.
func (a Answer) result(path string, netconf []byte) (types.Result, error) {
	if a.Result != nil {
		return a.Result, nil
	}
	result, err := decode(netconf, a.printed)
	if err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, fmt.Sprintf("answer of %s: %v", filepath.Base(path), err), "")
	}
	return result, nil
}

// execVerb runs a delegate with a command whose output nobody reads.
func execVerb(ctx context.Context, verb, plugin string, netconf []byte) error {
	path, err := find(plugin)
	if err != nil {
		return err
	}
	_, err = run(ctx, path, verb, netconf)
	return err
}

// environ returns our own environment with another CNI_COMMAND.
func environ(verb string) []string { return (&invoke.DelegateArgs{Command: verb}).AsEnv() }

func find(plugin string) (string, error) {
	dirs := filepath.SplitList(os.Getenv("CNI_PATH"))
	if len(dirs) == 0 && plugin != "" {
		return "", fmt.Errorf("CNI_PATH is empty, it should name the directory of the plugin %s", plugin)
	}
	return invoke.FindInPath(plugin, dirs)
}

// decode returns the result that answer is.
func decode(netconf, answer []byte) (types.Result, error) {
	if len(answer) == 0 {
		return nil, errors.New("it is empty, expected a result")
	}
	var problems conf.Problems
	conf.RejectNulls(&problems, "result", answer)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	resultVersion, answer, err := ensureVersion(netconf, answer)
	if err != nil {
		return nil, err
	}
	return create.Create(resultVersion, answer)
}

// ensureVersion returns the version of answer, and answer with it. Where it is
// left out, the one of netconf is meant, not 0.1.0 (containernetworking/cni#895).
func ensureVersion(netconf, answer []byte) (string, []byte, error) {
	var stated struct {
		CNIVersion string `json:"cniVersion"`
	}
	if err := json.Unmarshal(answer, &stated); err != nil || stated.CNIVersion != "" {
		return stated.CNIVersion, answer, err
	}
	meant, err := (&version.ConfigDecoder{}).Decode(netconf)
	if err != nil {
		return "", nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(answer, &fields); err != nil {
		return "", nil, err
	}
	if fields == nil {
		return "", nil, errors.New("it is null, expected a result")
	}
	fields["cniVersion"] = meant
	answer, err = json.Marshal(fields)
	return meant, answer, err
}
