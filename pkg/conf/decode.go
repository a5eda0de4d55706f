// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// Decode decodes the JSON object in data into the struct that into points to.
// Data that is no JSON object is a CNI error with code 6; values that do not
// fit their field are noted in problems and leave the field as it was. It
// returns the keys that no field takes, and those of maps that come again.
func Decode(data []byte, into any, problems *Problems) (ignored []IgnoredKey, err error) {
	root, err := parse(data)
	if err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, err.Error(), "")
	}
	d := decoder{data: data, problems: problems}
	before := problems.Len()
	d.object("", root, reflect.ValueOf(into).Elem())
	problems.setUndecoded(before)
	if c, ok := into.(interface{ Base() *Common }); ok {
		c.Base().findAttachments(problems)
		c.Base().IPAM.validate(problems)
	}
	return d.ignored, nil
}

func parse(data []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var root map[string]any
	if err := dec.Decode(&root); err != nil {
		return nil, fmt.Errorf("configuration is not a JSON object: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("configuration goes on after the end of the JSON object")
	}
	if root == nil {
		return nil, errors.New("configuration is null, a JSON object is expected")
	}
	return root, nil
}

type decoder struct {
	data     []byte
	spelling *spelling // once it has been asked for
	problems *Problems
	ignored  []IgnoredKey
}

// object sets the fields of struct v from the members of node.
func (d *decoder) object(path string, node map[string]any, v reflect.Value) {
	fields := fieldsOf(v)
	for _, key := range d.inOrder(path, node, fields) {
		field, ok := fields.find(key)
		if !ok {
			if v.Type() != reflect.TypeFor[IPAM]() { // the rest of it is for the IPAM plugin
				d.noteUnknown(path, key, fields)
			}
			continue
		}
		d.value(join(path, key), node[key], field.value)
	}
}

// value sets v from node. null leaves v as it is, like encoding/json.
func (d *decoder) value(path string, node any, v reflect.Value) {
	if node == nil {
		return
	}
	if v.Kind() == reflect.Pointer {
		target := reflect.New(v.Type().Elem())
		before := d.problems.Len()
		d.value(path, node, target.Elem())
		if d.problems.Len() == before {
			v.Set(target)
		}
		return
	}
	if d.custom(path, node, v) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if object, ok := expect[map[string]any](d, path, node, "an object"); ok {
			d.object(path, object, v)
			notePresence(v)
		}
	case reflect.Map:
		if object, ok := expect[map[string]any](d, path, node, "an object"); ok {
			d.mapping(path, object, v)
		}
	case reflect.Slice:
		if list, ok := expect[[]any](d, path, node, "a list"); ok {
			d.list(path, list, v)
		}
	case reflect.String:
		if s, ok := expect[string](d, path, node, "a string"); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		if b, ok := expect[bool](d, path, node, "true or false"); ok {
			v.SetBool(b)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.signed(path, node, v)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.unsigned(path, node, v)
	case reflect.Interface:
		v.Set(reflect.ValueOf(node))
	default:
		panic(fmt.Sprintf("conf: %s has the unsupported type %s", path, v.Type()))
	}
}

// custom lets a type that knows its own text or JSON form decode itself.
func (d *decoder) custom(path string, node any, v reflect.Value) bool {
	switch target := v.Addr().Interface().(type) {
	case *net.IP:
		if s, ok := expect[string](d, path, node, "an IP address"); ok {
			d.ip(path, s, target)
		}
	case *types.IPNet:
		d.network(path, node, target)
	case *types.Route:
		d.route(path, node, target)
	case json.Unmarshaler:
		data, err := json.Marshal(node)
		if err == nil {
			err = target.UnmarshalJSON(data)
		}
		if err != nil {
			d.problems.Add(path, "%v", err)
		}
	case encoding.TextUnmarshaler:
		if s, ok := expect[string](d, path, node, "a string"); ok {
			if err := target.UnmarshalText([]byte(s)); err != nil {
				d.problems.Add(path, "%v", err)
			}
		}
	default:
		return false
	}
	return true
}

func (d *decoder) ip(path, text string, target *net.IP) {
	if text == "" {
		return
	}
	ip := net.ParseIP(text)
	if ip == nil {
		d.problems.Add(path, "%q is not an IP address", text)
		return
	}
	*target = ip
}

func (d *decoder) list(path string, list []any, v reflect.Value) {
	slice := reflect.MakeSlice(v.Type(), len(list), len(list))
	for i, node := range list {
		element := path + "[" + strconv.Itoa(i) + "]"
		if node == nil {
			d.problems.Add(element, "null where %s is expected", nameOf(v.Type().Elem()))
			continue
		}
		d.value(element, node, slice.Index(i))
	}
	v.Set(slice)
}

func (d *decoder) mapping(path string, object map[string]any, v reflect.Value) {
	d.noteDuplicates(path, v.Type())
	result := reflect.MakeMapWithSize(v.Type(), len(object))
	for _, key := range sortedKeys(object) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(join(path, key), object[key], element)
		result.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), element)
	}
	v.Set(result)
}

func (d *decoder) signed(path string, node any, v reflect.Value) {
	number, ok := expect[json.Number](d, path, node, "an integer")
	if !ok {
		return
	}
	n, err := strconv.ParseInt(number.String(), 10, v.Type().Bits())
	if err != nil {
		d.problems.Add(path, "%s is not a whole number of %d bits", short(number.String()), v.Type().Bits())
		return
	}
	v.SetInt(n)
}

func (d *decoder) unsigned(path string, node any, v reflect.Value) {
	number, ok := expect[json.Number](d, path, node, "a whole number, 0 or more")
	if !ok {
		return
	}
	n, err := strconv.ParseUint(number.String(), 10, v.Type().Bits())
	if err != nil {
		d.problems.Add(path, "%s is not a whole number from 0 to %d", short(number.String()), ^uint64(0)>>(64-v.Type().Bits()))
		return
	}
	v.SetUint(n)
}

// expect returns node as a T or notes what was expected in its place.
func expect[T any](d *decoder, path string, node any, what string) (T, bool) {
	value, ok := node.(T)
	if !ok {
		d.problems.Add(path, "%s where %s is expected", describe(node), what)
	}
	if text, isText := any(value).(string); isText {
		d.noteGarbled(path, text)
	}
	return value, ok
}

func describe(node any) string {
	switch n := node.(type) {
	case string:
		return "the string " + strconv.Quote(short(n))
	case json.Number:
		return "the number " + short(n.String())
	case bool:
		return strconv.FormatBool(n)
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "null"
}

func short(s string) string {
	const max = 60
	if len(s) <= max {
		return s
	}
	return strings.ToValidUTF8(s[:max], "") + "..."
}

func nameOf(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[net.IP]():
		return "an IP address"
	case reflect.TypeFor[types.IPNet]():
		return "CIDR notation"
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func sortedKeys(node map[string]any) []string {
	keys := make([]string, 0, len(node))
	for key := range node {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
