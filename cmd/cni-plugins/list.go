// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/version"
)

// network is a list of plugins, or one of them.
type network struct {
	Name         string            `json:"name"`
	Version      string            `json:"cniVersion"`
	Versions     []string          `json:"cniVersions"`
	Type         string            `json:"type"`
	Plugins      []json.RawMessage `json:"plugins"`
	DisableCheck boolean           `json:"-"`
	DisableGC    boolean           `json:"-"`
	Inlined      boolean           `json:"-"` // there are no plugins in a directory
	IPAM         struct {
		Type string `json:"type"`
	} `json:"ipam"`
}

// boolean is true, "true", or the like, as libcni takes it.
type boolean bool

// UnmarshalJSON implements json.Unmarshaler.
func (b *boolean) UnmarshalJSON(data []byte) error {
	switch strings.ToLower(strings.Trim(string(data), `"`)) {
	case "true":
		*b = true
	case "false":
		*b = false
	default:
		return fmt.Errorf("%s where true or false is expected", data)
	}
	return nil
}

// decode decodes a list, of which libcni refuses each of these keys that has another
// value than it should, and does not find one that is spelled otherwise.
func (r *reader) decode(path string, keys map[string]json.RawMessage) (list network, ok bool) {
	fields := map[string]any{
		"name": &list.Name, "cniVersion": &list.Version, "cniVersions": &list.Versions, "plugins": &list.Plugins,
		"disableCheck": &list.DisableCheck, "disableGC": &list.DisableGC, "loadOnlyInlinedPlugins": &list.Inlined,
	}
	ok = true
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if into, known := fields[key]; known {
			fits, err := decodeInto(into, keys[key])
			if err != nil {
				r.refuse(path, fmt.Errorf("%s: %w", key, err))
			}
			ok = ok && fits
			continue
		}
		for right := range fields {
			if strings.EqualFold(key, right) {
				r.mistake(path, fmt.Errorf("%s: unknown key (did you mean %q?)", key, right))
			}
		}
	}
	return list, ok
}

// decodeInto decodes the value of a key. Without one that fits there is nothing to be
// said of the rest.
func decodeInto(into any, value json.RawMessage) (fits bool, err error) {
	err = json.Unmarshal(value, into)
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mistyped):
		return false, fmt.Errorf("unexpected %s", mistyped.Value)
	case err == nil && string(value) == "null":
		return false, errors.New("unexpected null")
	}
	return true, err
}

// versions looks at versions that libcni compares, and refuses a list for.
func (r *reader) versions(path string, list network) {
	if list.Versions == nil {
		return // it takes cniVersion as it is
	}
	for n, one := range list.Versions {
		r.comparable(path, fmt.Sprintf("cniVersions[%d]", n), one)
	}
	r.comparable(path, "cniVersion", list.Version)
}

func (r *reader) comparable(path, key, one string) {
	if _, _, _, err := version.ParseVersion(one); err != nil {
		r.refuse(path, fmt.Errorf("%s: %q is not a version, such as %s", key, one, version.Current()))
	}
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
