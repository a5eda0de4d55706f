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

	"github.com/containernetworking/cni/pkg/utils"
)

// confDir is where runtimes look for configurations.
const confDir = "/etc/cni/net.d"

// reader reads files of network configurations. What it says begins with where that is.
type reader struct {
	stdout, stderr io.Writer
	look           func(where, name string, content []byte) // is given the configuration of each plugin, as runtimes give it to that
	refused        bool
}

// read reads the files, those in dir that runtimes look at unless there are any, and
// returns the exit status.
func (r *reader) read(files []string, dir string) (status int) {
	if len(files) == 0 {
		var err error
		files, err = networkFiles(dir)
		r.refuse(dir, withoutPath(err))
	}
	for _, file := range files {
		r.file(file)
	}
	if r.refused {
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

func (r *reader) refuse(where string, err error) {
	if err != nil {
		fmt.Fprintf(r.stderr, "%s: %v\n", where, err)
		r.refused = true
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

func (r *reader) file(path string) {
	content, err := os.ReadFile(path)
	if err != nil {
		r.refuse(path, withoutPath(err))
		return
	}
	var list network
	err = json.Unmarshal(content, &list)
	var mistyped *json.UnmarshalTypeError
	switch {
	case err != nil && !errors.As(err, &mistyped):
		r.refuse(path, err)
		return
	case list.Type != "":
		r.name(path, list.Name)
		r.plugin(path, content)
		return
	case mistyped != nil:
		r.refuse(path, fmt.Errorf("%s: unexpected %s", cmp.Or(mistyped.Field, "network"), mistyped.Value))
		return
	case len(list.Plugins) == 0:
		r.refuse(path, errors.New("plugins: missing; a network has a list of plugins, or the type of one"))
	}
	r.name(path, list.Name)
	for n, one := range list.Plugins {
		where := fmt.Sprintf("%s: plugins[%d]", path, n)
		if conf, err := list.complete(one); err != nil {
			r.refuse(where, err)
		} else {
			r.plugin(where, conf)
		}
	}
}

func (r *reader) name(where, name string) {
	if name == "" {
		r.refuse(where, errors.New("name: missing"))
	} else if err := utils.ValidateNetworkName(name); err != nil {
		r.refuse(where, fmt.Errorf("name: %q: %s", name, err.Msg))
	}
}

func (r *reader) plugin(where string, content []byte) {
	var conf network
	_ = json.Unmarshal(content, &conf) // the plugin will say what is wrong
	if conf.Type == "" {
		r.refuse(where, errors.New("type: missing; it is the name of the plugin, such as bridge"))
		return
	}
	r.look(where, conf.Type, content)
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

// withoutPath returns an error of a file without its path.
func withoutPath(err error) error {
	var ofPath *fs.PathError
	if errors.As(err, &ofPath) {
		return ofPath.Err
	}
	return err
}
