// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// replacement is a JSON text to put in the place of a value.
type replacement struct {
	name string
	text string
	kind string // of JSON value; "" if it is not certain to be wrong anywhere
}

// replacements are values that somebody may write, or that a broken program
// sends.
func replacements() []replacement {
	const deep, long = 3000, 70_000
	return []replacement{
		{"null", "null", ""},
		{"an empty string", `""`, "string"},
		{"a long string", `"` + strings.Repeat("x", long) + `"`, "string"},
		{"a string of control characters", `"\u0000\n\u001b[31m\ufffd"`, "string"},
		{"text that is not UTF-8", "\"\xff\xfe\"", ""},
		{"zero", "0", "number"},
		{"minus one", "-1", "number"},
		{"half a one", "0.5", "number"},
		{"a number out of range", "1e999", "number"},
		{"an integer out of range", "99999999999999999999999", "number"},
		{"true", "true", "bool"},
		{"an empty list", "[]", "list"},
		{"a list of null", "[null]", "list"},
		{"a list of a list of null", "[[null]]", "list"},
		{"a list of objects", "[{}]", "list"},
		{"an empty object", "{}", "object"},
		{"an object of nulls", `{"":null,"a":null}`, "object"},
		{"deep nesting", strings.Repeat("[", deep) + strings.Repeat("]", deep), ""},
	}
}

// mutation is a configuration in which one value was replaced.
type mutation struct {
	path        string
	replacement replacement
	text        []byte
	wrong       bool // the value is of another kind than the right one
}

func (m mutation) String() string { return m.path + ": " + m.replacement.name }

// mutations replaces the value at path in doc by everything there is.
func mutations(doc Object, at location) []mutation {
	var all []mutation
	right := kindOf(at.in(doc))
	for _, r := range replacements() {
		all = append(all, mutation{
			path:        at.String(),
			replacement: r,
			text:        splice(at.set(doc, marker).(Object), r.text),
			wrong:       r.kind != "" && r.kind != right,
		})
	}
	return all
}

// replaceAll replaces all values of doc that choose picks by the same text.
// Below a value that was replaced there is nothing to pick.
func replaceAll(doc Object, text string, choose func(path string) bool) []byte {
	var changed any = doc
	var done []string
	for _, at := range locations(doc) {
		path := at.String()
		below := slices.ContainsFunc(done, func(other string) bool { return strings.HasPrefix(path, other) })
		if !below && choose(path) {
			changed = at.set(changed, marker)
			done = append(done, path+".", path+"[")
		}
	}
	return splice(changed.(Object), text)
}

// marker stands where splice is to put a text that json.Marshal would not
// write.
const marker = "@here@"

func splice(doc Object, text string) []byte {
	return bytes.ReplaceAll(encode(doc), []byte(`"`+marker+`"`), []byte(text))
}

func kindOf(value any) string {
	switch value.(type) {
	case string:
		return "string"
	case bool:
		return "bool"
	case []any:
		return "list"
	case Object:
		return "object"
	}
	return "number"
}

// location is the way to a value: keys and indexes.
type location []any

func (l location) String() string {
	var text strings.Builder
	for _, step := range l {
		switch step := step.(type) {
		case string:
			if text.Len() > 0 {
				text.WriteByte('.')
			}
			text.WriteString(step)
		case int:
			fmt.Fprintf(&text, "[%d]", step)
		}
	}
	return text.String()
}

// in returns the value in doc.
func (l location) in(doc any) any {
	for _, step := range l {
		switch step := step.(type) {
		case string:
			doc = doc.(Object)[step]
		case int:
			doc = doc.([]any)[step]
		}
	}
	return doc
}

// set returns a copy of doc with another value.
func (l location) set(doc, value any) any {
	if len(l) == 0 {
		return value
	}
	if key, ok := l[0].(string); ok {
		changed := maps.Clone(doc.(Object))
		changed[key] = l[1:].set(changed[key], value)
		return changed
	}
	index := l[0].(int)
	changed := slices.Clone(doc.([]any))
	changed[index] = l[1:].set(changed[index], value)
	return changed
}

// locations lists the ways to all values in doc, outer ones first.
func locations(doc Object) []location {
	var all []location
	var walk func(value any, here location)
	walk = func(value any, here location) {
		if len(here) > 0 {
			all = append(all, here)
		}
		switch value := value.(type) {
		case Object:
			for _, key := range slices.Sorted(maps.Keys(value)) {
				walk(value[key], append(slices.Clone(here), key))
			}
		case []any:
			for i, element := range value {
				walk(element, append(slices.Clone(here), i))
			}
		}
	}
	walk(doc, nil)
	return all
}

// plain brings o into the form that JSON decodes into: suites may be written
// with any Go types.
func plain(o Object) Object {
	var decoded Object
	if err := json.Unmarshal(encode(o), &decoded); err != nil {
		panic(err)
	}
	return decoded
}
