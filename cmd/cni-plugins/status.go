// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
)

// binDir is where runtimes look for plugins.
const binDir = "/opt/cni/bin"

// statusVersion is the first version of the protocol that has STATUS.
const statusVersion = "1.1.0"

// status asks the plugins of networks whether an ADD would work now: those in the
// directories of path, others', too, as a runtime does that knows STATUS. Without files
// it is about those in dir that runtimes look at.
func status(ctx context.Context, files []string, dir, path string, stdout, stderr io.Writer) int {
	l := newLinter(stdout, stderr)
	l.look = func(where, name string, first bool, content []byte) {
		before := l.refused
		l.plugin(where, name, first, content)
		if l.refused > before {
			return
		}
		err := ask(ctx, name, path, content)
		if errors.Is(err, errCannotSay) {
			fmt.Fprintf(stdout, "%s: %s: %v\n", where, name, err)
		} else if err != nil {
			l.refuse(where, err) // which names the plugin
		} else {
			fmt.Fprintf(stdout, "%s: %s: ready\n", where, name)
		}
	}
	return l.read(files, dir)
}

var errCannotSay = errors.New("not asked, as it does not know STATUS")

// ask asks the plugin called name, and returns what is in the way of an ADD.
func ask(ctx context.Context, name, path string, content []byte) error {
	executable, err := invoke.FindInPath(name, filepath.SplitList(path))
	if err != nil {
		return err
	}
	versions, err := invoke.GetVersionInfo(ctx, executable, nil)
	if err != nil {
		return err
	}
	if !slices.Contains(versions.SupportedVersions(), statusVersion) {
		return errCannotSay
	}
	conf := map[string]json.RawMessage{}
	if err := json.Unmarshal(content, &conf); err != nil {
		return err
	}
	conf["cniVersion"] = json.RawMessage(`"` + statusVersion + `"`)
	if content, err = json.Marshal(conf); err != nil {
		return err
	}
	return withDetails(invoke.ExecPluginWithoutResult(ctx, executable, content, &invoke.Args{Command: "STATUS", Path: path}, nil))
}

// withDetails returns an error with all that the plugin says.
func withDetails(err error) error {
	var answer *types.Error
	if errors.As(err, &answer) && answer.Details != "" {
		return fmt.Errorf("%s; %s", answer.Msg, answer.Details)
	}
	return err
}
