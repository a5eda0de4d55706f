// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
)

// Distinct is a map none of whose keys may stand twice. Of others, the last value
// counts.
type Distinct map[string]string

// noteDuplicates remembers the keys that stand more than once in the object at
// path, which becomes a map of type t.
func (d *decoder) noteDuplicates(path string, t reflect.Type) {
	for _, key := range duplicated(d.data)[path] {
		if t == reflect.TypeFor[Distinct]() {
			d.problems.Add(join(path, key), "duplicated, only one of the values can count")
		} else {
			d.ignored = append(d.ignored, IgnoredKey{Path: join(path, key), Repeated: true})
		}
	}
}

// duplicated returns, by the path of their object, the keys that stand more
// than once in an object of the JSON text data. encoding/json lets the last one
// win, and nobody hears of the others.
func duplicated(data []byte) map[string][]string {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	w := duplicateFinder{found: map[string][]string{}}
	for {
		token, err := dec.Token()
		if err != nil {
			return w.found
		}
		w.take(token)
	}
}

// duplicateFinder walks through the tokens of a JSON text.
type duplicateFinder struct {
	open  []container
	found map[string][]string
}

// container is an object or a list that has not been closed yet.
type container struct {
	keys  map[string]int // how often each key has come; nil in a list
	key   string         // the current one
	value bool           // a value comes next, not a key
	index int            // in a list
}

func (w *duplicateFinder) take(token json.Token) {
	switch {
	case w.takeKey(token):
	case token == json.Delim('{'):
		w.open = append(w.open, container{keys: map[string]int{}})
	case token == json.Delim('['):
		w.open = append(w.open, container{})
	case token == json.Delim('}') || token == json.Delim(']'):
		w.open = w.open[:len(w.open)-1]
		w.valueEnds()
	default:
		w.valueEnds()
	}
}

// takeKey takes token if it is the key of a member.
func (w *duplicateFinder) takeKey(token json.Token) bool {
	key, isText := token.(string)
	if len(w.open) == 0 || !isText {
		return false
	}
	top := &w.open[len(w.open)-1]
	if top.keys == nil || top.value {
		return false
	}
	if top.keys[key]++; top.keys[key] == 2 {
		path := w.path()
		w.found[path] = append(w.found[path], key)
	}
	top.key, top.value = key, true
	return true
}

func (w *duplicateFinder) valueEnds() {
	if len(w.open) > 0 {
		top := &w.open[len(w.open)-1]
		top.value = false
		top.index++
	}
}

// path is the path of the innermost object.
func (w *duplicateFinder) path() string {
	path := ""
	for _, c := range w.open[:len(w.open)-1] {
		if c.keys == nil {
			path += "[" + strconv.Itoa(c.index) + "]"
		} else {
			path = join(path, c.key)
		}
	}
	return path
}
