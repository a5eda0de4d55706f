// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/utils"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// confDir is where runtimes look for configurations.
const confDir = "/etc/cni/net.d"

// lint says what is wrong with network configurations, without using them: all that
// ADD would refuse, and keys that no plugin knows, which it would not. Without files it
// looks at those in dir that runtimes look at.
func lint(files []string, dir string, stdout, stderr io.Writer) (status int) {
	l := linter{plugins: plugins(), stdout: stdout, stderr: stderr}
	if len(files) == 0 {
		var err error
		files, err = networkFiles(dir)
		l.refuse(dir, withoutPath(err))
	}
	for _, file := range files {
		l.file(file)
	}
	if l.refused {
		return 1
	}
	return 0
}

// networkFiles returns what libcni takes for network configurations in a directory.
func networkFiles(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(entry.Name())) {
			files = append(files, filepath.Join(dir, entry.Name()))
		}
	}
	return files, err
}

// linter looks at files. What it says begins with where that is.
type linter struct {
	plugins        map[string]plugin.Plugin
	stdout, stderr io.Writer
	refused        bool
}

func (l *linter) refuse(where string, err error) {
	if err != nil {
		fmt.Fprintf(l.stderr, "%s: %v\n", where, err)
		l.refused = true
	}
}

// network is a list of plugins, or one of them.
type network struct {
	Name    string            `json:"name"`
	Version string            `json:"cniVersion"`
	Type    string            `json:"type"`
	Plugins []json.RawMessage `json:"plugins"`
	IPAM    struct {
		Type string `json:"type"`
	} `json:"ipam"`
}

func (l *linter) file(path string) {
	content, err := os.ReadFile(path)
	if err != nil {
		l.refuse(path, withoutPath(err))
		return
	}
	var list network
	err = json.Unmarshal(content, &list)
	var mistyped *json.UnmarshalTypeError
	switch {
	case err != nil && !errors.As(err, &mistyped):
		l.refuse(path, err)
		return
	case list.Type != "":
		l.name(path, list.Name)
		l.plugin(path, content)
		return
	case mistyped != nil:
		l.refuse(path, fmt.Errorf("%s: unexpected %s", cmp.Or(mistyped.Field, "network"), mistyped.Value))
		return
	case len(list.Plugins) == 0:
		l.refuse(path, errors.New("plugins: missing; a network has a list of plugins, or the type of one"))
	}
	l.name(path, list.Name)
	for n, one := range list.Plugins {
		where := fmt.Sprintf("%s: plugins[%d]", path, n)
		if conf, err := list.complete(one); err != nil {
			l.refuse(where, err)
		} else {
			l.plugin(where, conf)
		}
	}
}

func (l *linter) name(where, name string) {
	if name == "" {
		l.refuse(where, errors.New("name: missing"))
	} else if err := utils.ValidateNetworkName(name); err != nil {
		l.refuse(where, fmt.Errorf("name: %q: %s", name, err.Msg))
	}
}

// complete gives a plugin of the list what runtimes give it.
func (list network) complete(one json.RawMessage) ([]byte, error) {
	var conf map[string]json.RawMessage
	if err := json.Unmarshal(one, &conf); err != nil || conf == nil {
		return nil, fmt.Errorf("%s where an object is expected", one)
	}
	complete := map[string]any{}
	for key, value := range conf {
		complete[key] = value
	}
	complete["name"], complete["cniVersion"] = list.Name, list.Version
	return json.Marshal(complete)
}

// plugin looks at the configuration of a plugin, and of its IPAM plugin.
func (l *linter) plugin(where string, content []byte) {
	var conf network
	_ = json.Unmarshal(content, &conf) // the plugin will say what is wrong
	l.as(where, conf.Type, conf.Version, content)
	if conf.IPAM.Type != "" && conf.IPAM.Type != conf.Type {
		l.as(where, conf.IPAM.Type, conf.Version, content)
	}
}

// as looks at a configuration as the plugin called name does.
func (l *linter) as(where, name, version string, content []byte) {
	p, ok := l.plugins[name]
	switch {
	case name == "":
		l.refuse(where, errors.New("type: missing; it is the name of the plugin, such as bridge"))
	case !ok:
		fmt.Fprintf(l.stdout, "%s: %s: not looked at, as it is none of these plugins\n", where, name)
	case version != "" && !slices.Contains(p.Versions.SupportedVersions(), version):
		l.refuse(where, fmt.Errorf("%s: cniVersion: %q is none of %s", name, version, strings.Join(p.Versions.SupportedVersions(), ", ")))
	default:
		l.refuse(where, p.Lint(content))
	}
}

// withoutPath returns an error of a file without its path.
func withoutPath(err error) error {
	var ofPath *fs.PathError
	if errors.As(err, &ofPath) {
		return ofPath.Err
	}
	return err
}
