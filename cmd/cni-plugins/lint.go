// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/pkg/plugin"
	flannel "github.com/containernetworking/plugins/plugins/meta/flannel/plugin"
)

// lint says what is wrong with network configurations, without using them: all that
// runtimes or ADD would refuse, and keys that nobody knows, which they would not. Without files it
// looks at those in dir that runtimes look at.
func lint(files []string, dir string, stdout, stderr io.Writer) (status int) {
	l := newLinter(stdout, stderr)
	l.strict = true
	l.look = l.plugin
	return l.read(files, dir)
}

// linter looks at the configurations of plugins.
type linter struct {
	reader
	plugins map[string]plugin.Plugin
}

func newLinter(stdout, stderr io.Writer) *linter {
	return &linter{reader{stdout: stdout, stderr: stderr}, plugins()}
}

// plugin looks at the configuration of a plugin, and at what flannel has another do.
func (l *linter) plugin(where, name string, first bool, content []byte) {
	l.whole(where, name, first, content, nil)
	if name != flannel.Plugin.Name || flannel.Plugin.LintAs(content, plugin.Linting{}) != nil { // there is no other then
		return
	}
	delegate, delegated, origin, err := flannel.Delegated(content)
	l.refuse(where, err)
	if err == nil {
		l.whole(where, delegate, true, delegated, origin)
	}
}

// whole looks at the configuration of a plugin, and of the IPAM plugin that gets it
// as it is. What is wrong was written where origin tells.
func (l *linter) whole(where, name string, first bool, content []byte, origin func(string) string) {
	var conf network
	_ = json.Unmarshal(content, &conf) // the plugin will say what is wrong
	l.as(where, name, conf.Version, first, content, origin)
	if conf.IPAM.Type != "" && l.plugins[name].Delegates {
		l.as(where, conf.IPAM.Type, conf.Version, first, content, origin)
	}
}

// as looks at a configuration as the plugin called name does.
func (l *linter) as(where, name, version string, first bool, content []byte, origin func(string) string) {
	p, ok := l.plugins[name]
	switch {
	case !ok && !l.strict: // others need not know it
	case !ok:
		fmt.Fprintf(l.stdout, "%s: %s: not looked at, as it is none of these plugins\n", where, name)
	case version != "" && !slices.Contains(p.Versions.SupportedVersions(), version):
		l.refuse(where, fmt.Errorf("%s: cniVersion: %q is none of %s", name, version, strings.Join(p.Versions.SupportedVersions(), ", ")))
	default:
		err := p.LintAs(content, plugin.Linting{Strict: l.strict, Origin: origin})
		if err == nil {
			err = p.LintPlace(content, first)
		}
		l.refuse(where, err)
	}
}
