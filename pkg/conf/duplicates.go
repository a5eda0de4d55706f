// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Distinct is a map none of whose keys may stand twice. Of others, the last value
// counts.
type Distinct map[string]string

// noteDuplicates remembers the keys that stand more than once in the object at
// path, which becomes a map of type t.
func (d *decoder) noteDuplicates(path string, t reflect.Type) {
	for _, key := range d.spelled().duplicates[path] {
		if t == reflect.TypeFor[Distinct]() {
			d.problems.Add(join(path, key), "duplicated, only one of the values can count")
		} else {
			d.ignored = append(d.ignored, IgnoredKey{Path: join(path, key), Repeated: true})
		}
	}
}

// inOrder returns the keys of the object at path in the order in which they are
// decoded. Where several are of one field, in another case, that is the order of the
// text: the last one counts, as with encoding/json.
func (d *decoder) inOrder(path string, node map[string]any, fields fields) []string {
	keys := sortedKeys(node)
	if fields.distinct(keys) {
		return keys
	}
	places := d.spelled().places[path]
	slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(places[a], places[b]) })
	return keys
}

// spelled returns what the text says beside its values.
func (d *decoder) spelled() *spelling {
	if d.spelling == nil {
		d.spelling = spellingOf(d.data)
	}
	return d.spelling
}

// spelling is what gets lost when a JSON text becomes values, by the path of the
// object.
type spelling struct {
	// duplicates are the keys that stand more than once in the object. encoding/json
	// lets the last one win, and nobody hears of the others.
	duplicates map[string][]string
	// places tells where in the text each key of the object stands, the last time.
	places map[string]map[string]int
	// garbled are the texts that are not UTF-8, by their own path. encoding/json puts
	// U+FFFD in the place of what it does not understand.
	garbled map[string]bool

	open  []container
	place int
}

// container is an object or a list that has not been closed yet.
type container struct {
	path  string
	keys  map[string]int // where each has come last; nil in a list
	key   string         // the current one
	value bool           // a value comes next, not a key
	index int            // in a list
}

// spellingOf walks through the tokens of a JSON text, up to where it is none.
func spellingOf(data []byte) *spelling {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	s := &spelling{duplicates: map[string][]string{}, places: map[string]map[string]int{}, garbled: map[string]bool{}}
	for {
		begin := dec.InputOffset()
		token, err := dec.Token()
		if err != nil {
			return s
		}
		s.place++
		s.take(token, data[begin:dec.InputOffset()])
	}
}

// take takes a token, which text ends with.
func (s *spelling) take(token json.Token, text []byte) {
	switch {
	case s.takeKey(token):
	case token == json.Delim('{'):
		object := container{path: s.path(), keys: map[string]int{}}
		s.places[object.path] = object.keys
		s.open = append(s.open, object)
	case token == json.Delim('['):
		s.open = append(s.open, container{path: s.path()})
	case token == json.Delim('}') || token == json.Delim(']'):
		s.open = s.open[:len(s.open)-1]
		s.valueEnds()
	default:
		s.takeScalar(text)
		s.valueEnds()
	}
}

// takeKey takes token if it is the key of a member.
func (s *spelling) takeKey(token json.Token) bool {
	key, isText := token.(string)
	if len(s.open) == 0 || !isText {
		return false
	}
	top := &s.open[len(s.open)-1]
	if top.keys == nil || top.value {
		return false
	}
	if _, again := top.keys[key]; again && !slices.Contains(s.duplicates[top.path], key) {
		s.duplicates[top.path] = append(s.duplicates[top.path], key)
	}
	top.keys[key] = s.place
	top.key, top.value = key, true
	return true
}

// takeScalar remembers whether a text is UTF-8: the last one of a key.
func (s *spelling) takeScalar(text []byte) {
	if garbled := !utf8.Valid(text); garbled || len(s.garbled) > 0 {
		s.garbled[s.path()] = garbled
	}
}

func (s *spelling) valueEnds() {
	if len(s.open) > 0 {
		top := &s.open[len(s.open)-1]
		top.value = false
		top.index++
	}
}

// path is the path of the value that comes next.
func (s *spelling) path() string {
	if len(s.open) == 0 {
		return ""
	}
	top := s.open[len(s.open)-1]
	if top.keys == nil {
		return top.path + "[" + strconv.Itoa(top.index) + "]"
	}
	return join(top.path, top.key)
}

// noteGarbled notes a text that is not UTF-8. It is used with U+FFFD in it.
func (d *decoder) noteGarbled(path, text string) {
	if strings.ContainsRune(text, utf8.RuneError) && d.spelled().garbled[path] {
		d.problems.Add(path, "%q is not UTF-8 in the configuration", text)
	}
}
