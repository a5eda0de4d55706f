// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"fmt"
	"reflect"
	"strings"
)

// field is one key that a struct takes.
type field struct {
	key   string
	value reflect.Value
}

type fields []field

// fieldsOf lists the keys of struct v. Those of an embedded struct count as
// v's own, unless v has one of the same name.
func fieldsOf(v reflect.Value) fields {
	var inherited fields
	own := make(fields, 0, v.NumField())
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		key, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		switch {
		case sf.Anonymous && key == "" && sf.Type.Kind() == reflect.Struct:
			inherited = append(inherited, fieldsOf(v.Field(i))...)
		case !sf.IsExported() || key == "-":
		case key == "":
			own = append(own, field{sf.Name, v.Field(i)})
		default:
			own = append(own, field{key, v.Field(i)})
		}
	}
	for _, f := range inherited {
		if _, shadowed := own.find(f.key); !shadowed {
			own = append(own, f)
		}
	}
	return own
}

// Presence makes a struct that embeds it differ from its zero value when the
// configuration has its object, be that empty.
type Presence struct{ present bool }

func (p *Presence) setPresent() { p.present = true }

func notePresence(v reflect.Value) {
	if p, ok := v.Addr().Interface().(interface{ setPresent() }); ok {
		p.setPresent()
	}
}

// find returns the field for key: the one spelled so, or else one that differs
// in case only.
func (fs fields) find(key string) (field, bool) {
	for _, f := range fs {
		if f.key == key {
			return f, true
		}
	}
	for _, f := range fs {
		if strings.EqualFold(f.key, key) {
			return f, true
		}
	}
	return field{}, false
}

// distinct tells whether no two of the keys are of one field.
func (fs fields) distinct(keys []string) bool {
	taken := map[string]bool{}
	for _, key := range keys {
		f, ok := fs.find(key)
		if ok && taken[f.key] {
			return false
		}
		taken[f.key] = taken[f.key] || ok
	}
	return true
}

// IgnoredKey is a key of the configuration that the plugin does not look at.
type IgnoredKey struct {
	Path     string // where it stands, "vlanTrunk[0].minid"
	Nearest  string // the known key that looks most like it, or empty
	Repeated bool   // it is known, but stands there again, and the last one counts
}

func (k IgnoredKey) String() string { return fmt.Sprintf("%q", k.Path) + k.hint() }

// Problem says what is wrong with the key to whoever wrote it.
func (k IgnoredKey) Problem() string {
	if k.Repeated {
		return "duplicated, only the last of the values counts"
	}
	return "unknown key" + k.hint()
}

func (k IgnoredKey) hint() string {
	if k.Nearest == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", k.Nearest)
}

// noteUnknown remembers a key without a field. Arguments and capabilities are
// shared by the plugins of a chain, and names with a slash, underscore or dollar sign in front are nobody's typo.
func (d *decoder) noteUnknown(path, key string, known fields) {
	top, _, _ := strings.Cut(path, ".")
	switch {
	case strings.EqualFold(top, "args") || strings.EqualFold(top, "runtimeConfig"):
		return
	case path == "" && (strings.EqualFold(key, "args") || strings.EqualFold(key, "runtimeConfig")):
		return
	case strings.Contains(key, "/") || strings.HasPrefix(key, "_") || strings.HasPrefix(key, "$"):
		return
	}
	d.ignored = append(d.ignored, IgnoredKey{Path: join(path, key), Nearest: known.nearest(key)})
}

// nearest returns the key that takes the fewest edits to become word, if those
// are few enough for it to have been meant.
func (fs fields) nearest(word string) string {
	best, bestDistance := "", len(word)/3+2
	for _, f := range fs {
		distance := editDistance(strings.ToLower(f.key), strings.ToLower(word))
		if distance < bestDistance {
			best, bestDistance = f.key, distance
		}
	}
	return best
}

// editDistance is the Levenshtein distance of a and b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
