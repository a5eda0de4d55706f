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
	"github.com/containernetworking/cni/pkg/version"
)

// confDir is where runtimes look for configurations.
const confDir = "/etc/cni/net.d"

// reader reads files of network configurations. What it says begins with where that is.
type reader struct {
	stdout, stderr io.Writer
	// look is given the configuration of each plugin, as runtimes give it to that, and
	// whether it is the first of its network.
	look    func(where, name string, first bool, content []byte)
	refused bool
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
func networkFiles(dir string) ([]string, error) { return filesIn(dir, ".conf", ".conflist", ".json") }

func filesIn(dir string, extensions ...string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if !entry.IsDir() && slices.Contains(extensions, filepath.Ext(entry.Name())) {
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
	Name     string            `json:"name"`
	Version  string            `json:"cniVersion"`
	Versions []string          `json:"cniVersions"`
	Type     string            `json:"type"`
	Plugins  []json.RawMessage `json:"plugins"`
	Inlined  any               `json:"loadOnlyInlinedPlugins"` // true or "true": there are no plugins in a directory
	IPAM     struct {
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
		r.plugin(path, true, content)
		return
	case mistyped != nil:
		r.refuse(path, fmt.Errorf("%s: unexpected %s", cmp.Or(mistyped.Field, "network"), mistyped.Value))
		return
	}
	r.list(path, list)
}

// list looks at the plugins of a list, and at those in a directory of its name, which
// libcni appends.
func (r *reader) list(path string, list network) {
	dir := filepath.Join(filepath.Dir(path), list.Name)
	files, err := list.files(dir)
	if len(list.Plugins) == 0 && (len(files) == 0 || list.Plugins != nil) {
		r.refuse(path, errors.New("plugins: missing; a network has a list of plugins, the type of one, or *.conf files in a directory of its name"))
	}
	r.name(path, list.Name)
	r.refuse(dir, withoutPath(err))
	for n, one := range list.Plugins {
		r.part(fmt.Sprintf("%s: plugins[%d]", path, n), list, n == 0, one)
	}
	for n, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			r.refuse(file, withoutPath(err))
			continue
		}
		r.part(file, list, n == 0 && list.Plugins == nil, content)
	}
}

// files returns the plugins of the list that are in dir, which need not be there.
func (list network) files(dir string) ([]string, error) {
	if strings.EqualFold(fmt.Sprint(list.Inlined), "true") || utils.ValidateNetworkName(list.Name) != nil {
		return nil, nil
	}
	files, err := filesIn(dir, ".conf")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return files, err
}

// part looks at a plugin of the list.
func (r *reader) part(where string, list network, first bool, one json.RawMessage) {
	conf, err := list.complete(one)
	if err != nil {
		r.refuse(where, err)
		return
	}
	r.plugin(where, first, conf)
}

func (r *reader) name(where, name string) {
	if name == "" {
		r.refuse(where, errors.New("name: missing"))
	} else if err := utils.ValidateNetworkName(name); err != nil {
		r.refuse(where, fmt.Errorf("name: %q: %s", name, err.Msg))
	}
}

func (r *reader) plugin(where string, first bool, content []byte) {
	var conf network
	_ = json.Unmarshal(content, &conf) // the plugin will say what is wrong
	if conf.Type == "" {
		r.refuse(where, errors.New("type: missing; it is the name of the plugin, such as bridge"))
		return
	}
	r.look(where, conf.Type, first, content)
}

// complete gives a plugin of the list what runtimes give it.
func (list network) complete(one json.RawMessage) ([]byte, error) {
	var conf map[string]json.RawMessage
	var mistyped *json.UnmarshalTypeError
	err := json.Unmarshal(one, &conf)
	switch {
	case err != nil && !errors.As(err, &mistyped):
		return nil, err
	case conf == nil:
		return nil, fmt.Errorf("%s where an object is expected", one)
	}
	complete := map[string]any{}
	for key, value := range conf {
		complete[key] = value
	}
	complete["name"], complete["cniVersion"] = list.Name, list.version()
	return json.Marshal(complete)
}

// version returns the newest version of the list that libcni knows, or the one that it
// has.
func (list network) version() string {
	newest := ""
	for _, one := range append(list.Versions, list.Version) {
		known, err := version.GreaterThanOrEqualTo(version.Current(), one)
		newer, _ := version.GreaterThan(one, newest)
		if err == nil && known && newer {
			newest = one
		}
	}
	return cmp.Or(newest, list.Version)
}

// withoutPath returns an error of a file without its path.
func withoutPath(err error) error {
	var ofPath *fs.PathError
	if errors.As(err, &ofPath) {
		return ofPath.Err
	}
	return err
}
