// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
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
	// look is given the configuration of each plugin, as runtimes give it to that, and
	// whether it is the first of its network.
	look    func(where, name string, first bool, content []byte)
	strict  bool // keys that nobody looks at are refused, too
	refused int  // how often
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
	if r.refused > 0 {
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
		r.refused++
	}
}

// mistake refuses what works, but hardly as it was meant.
func (r *reader) mistake(where string, err error) {
	if r.strict {
		r.refuse(where, err)
	}
}

func (r *reader) file(path string) {
	content, err := os.ReadFile(path)
	if err != nil {
		r.refuse(path, withoutPath(err))
		return
	}
	var keys map[string]json.RawMessage
	err = json.Unmarshal(content, &keys)
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mistyped):
		r.refuse(path, fmt.Errorf("network: unexpected %s", mistyped.Value))
	case err != nil:
		r.refuse(path, err)
	case isList(path, keys):
		if list, ok := r.decode(path, keys); ok {
			r.list(path, list)
		}
	default:
		r.alone(path, content)
	}
}

// isList tells what libcni takes a file for, by its name. Another than it reads may
// be either.
func isList(path string, keys map[string]json.RawMessage) bool {
	switch filepath.Ext(path) {
	case ".conflist":
		return true
	case ".conf", ".json":
		return false
	}
	_, one := keys["type"]
	return !one
}

// alone looks at a plugin without a list.
func (r *reader) alone(path string, content []byte) {
	var one network
	err := json.Unmarshal(content, &one)
	var mistyped *json.UnmarshalTypeError
	switch {
	case one.Type == "" && errors.As(err, &mistyped) && mistyped.Field == "type":
		r.refuse(path, fmt.Errorf("type: unexpected %s", mistyped.Value))
	case one.Type == "" && one.Plugins != nil:
		r.refuse(path, errors.New("type: missing; a file with a list of plugins is called *.conflist"))
	default:
		r.name(path, one.Name)
		r.plugin(path, true, content)
	}
}

// list looks at the plugins of a list, and at those in a directory of its name, which
// libcni appends.
func (r *reader) list(path string, list network) {
	dir := filepath.Join(filepath.Dir(path), list.Name)
	files, err := list.files(dir)
	if len(list.Plugins) == 0 && (len(files) == 0 || list.Plugins != nil) {
		r.refuse(path, errors.New("plugins: missing; a network has a list of plugins, the type of one in a file *.conf, or *.conf files in a directory of its name"))
	}
	r.name(path, list.Name)
	r.versions(path, list)
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
	if bool(list.Inlined) || utils.ValidateNetworkName(list.Name) != nil {
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

// withoutPath returns an error of a file without its path.
func withoutPath(err error) error {
	var ofPath *fs.PathError
	if errors.As(err, &ofPath) {
		return ofPath.Err
	}
	return err
}
