// SPDX-License-Identifier: Apache-2.0

package gobwire

import (
	"errors"
	"fmt"
	"io"
	"reflect"
)

// Limits of what is read, against peers that speak something else.
const (
	maxMessage = 16 << 20 // bytes
	maxDepth   = 100      // of values in values
)

var errCorrupt = errors.New("the message is damaged")

// Reader is what a Decoder reads from: a *bufio.Reader, for instance.
type Reader interface {
	io.Reader
	io.ByteReader
}

// Decoder is the reading end of a stream.
type Decoder struct {
	in    Reader
	known map[int]description
}

// NewDecoder returns a Decoder that reads from in, and no more than it is asked for.
func NewDecoder(in Reader) *Decoder { return &Decoder{in, map[int]description{}} }

// Decode reads the next value into the struct that v points to. Fields are found
// by name; those that do not come stay as they are. At the end of the stream it
// returns io.EOF.
func (d *Decoder) Decode(v any) error {
	into := reflect.ValueOf(v)
	if into.Kind() != reflect.Pointer || into.IsNil() || into.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decode into a %T: only into a struct that it points to", v)
	}
	for first := true; ; first = false {
		m, err := d.message()
		if err == io.EOF && !first {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		id := m.int()
		if id >= 0 {
			return d.whole(m, id, into.Elem())
		}
		if err := d.learn(m, -id); err != nil {
			return err
		}
	}
}

// message reads a message.
func (d *Decoder) message() (*message, error) {
	length, err := readUint(d.in)
	if err != nil {
		return nil, err
	}
	if length > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes is too large", length)
	}
	data, err := io.ReadAll(io.LimitReader(d.in, int64(length)))
	if err == nil && uint64(len(data)) < length {
		err = io.ErrUnexpectedEOF
	}
	return &message{rest: data}, err
}

// learn reads the description of a type.
func (d *Decoder) learn(m *message, id int) error {
	if _, ok := d.known[id]; ok || id <= 0 {
		return errCorrupt
	}
	var learned description
	if err := d.whole(m, descriptionType, reflect.ValueOf(&learned).Elem()); err != nil {
		return err
	}
	d.known[id] = learned
	return nil
}

// whole reads a value that is all there is in the message.
func (d *Decoder) whole(m *message, id int, into reflect.Value) error {
	if d.typeOf(id).Struct == nil {
		return errors.New("what arrives is not a struct")
	}
	if err := d.value(m, id, into, 0); err != nil {
		return err
	}
	if m.damaged || len(m.rest) > 0 {
		return errCorrupt
	}
	return nil
}

func (d *Decoder) typeOf(id int) description {
	if own, ok := described(id); ok {
		return own
	}
	return d.known[id]
}

// value reads a value of the type id. It is passed over if into is not valid.
func (d *Decoder) value(m *message, id int, into reflect.Value, depth int) error {
	if m.damaged || depth > maxDepth {
		return errCorrupt
	}
	for into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	kind := d.typeOf(id)
	switch {
	case id == boolType, id == intType, id == uintType, id == stringType, id == bytesType:
		return setBasic(m, id, into)
	case id == floatType:
		m.uint()
	case id == complexType:
		m.uint()
		m.uint()
	case kind.Struct != nil:
		return d.fields(m, kind.Struct, into, depth)
	case kind.Slice != nil:
		return d.elements(m, kind.Slice.Elem, into, depth)
	case kind.Array != nil:
		if err := d.passOver(m, depth, kind.Array.Elem); err != nil {
			return err
		}
	case kind.Map != nil:
		if err := d.passOver(m, depth, kind.Map.Key, kind.Map.Elem); err != nil {
			return err
		}
	case kind.GobEncoder != nil, kind.BinaryMarshaler != nil, kind.TextMarshaler != nil:
		m.bytes()
	default:
		return fmt.Errorf("values of type %d cannot be read", id)
	}
	return mismatch(into, "another type")
}

// setBasic reads a value of a type that needs no description.
func setBasic(m *message, id int, into reflect.Value) error {
	switch id {
	case boolType:
		n := m.uint()
		if into.Kind() == reflect.Bool {
			into.SetBool(n != 0)
			return nil
		}
		return mismatch(into, "a boolean")
	case intType:
		n := m.int64()
		if into.CanInt() && !into.OverflowInt(n) {
			into.SetInt(n)
			return nil
		}
		return mismatch(into, fmt.Sprintf("the integer %d", n))
	case uintType:
		n := m.uint()
		if into.CanUint() && !into.OverflowUint(n) {
			into.SetUint(n)
			return nil
		}
		return mismatch(into, fmt.Sprintf("the unsigned integer %d", n))
	case stringType:
		text := m.bytes()
		if into.Kind() == reflect.String {
			into.SetString(string(text))
			return nil
		}
		return mismatch(into, "a string")
	}
	data := m.bytes()
	if into.IsValid() && isBytes(into.Type()) {
		into.SetBytes(append([]byte{}, data...))
		return nil
	}
	return mismatch(into, "bytes")
}

// mismatch is the error of a value that does not go into what has its name.
func mismatch(into reflect.Value, what string) error {
	if !into.IsValid() {
		return nil
	}
	return fmt.Errorf("%s does not go into a %s", what, into.Type())
}

func (d *Decoder) fields(m *message, kind *structType, into reflect.Value, depth int) error {
	if into.IsValid() && into.Kind() != reflect.Struct {
		return mismatch(into, "a struct")
	}
	rest := kind.Fields
	for {
		distance := m.uint()
		if m.damaged || distance > uint64(len(rest)) {
			return errCorrupt
		}
		if distance == 0 {
			return nil
		}
		field := rest[distance-1]
		rest = rest[distance:]
		if err := d.value(m, field.Type, fieldOf(into, field.Name), depth+1); err != nil {
			return fmt.Errorf("%s: %w", field.Name, err)
		}
	}
}

// fieldOf returns a field of into, or what is not valid.
func fieldOf(into reflect.Value, name string) reflect.Value {
	if !into.IsValid() {
		return into
	}
	field, ok := into.Type().FieldByName(name)
	if !ok || !field.IsExported() || len(field.Index) > 1 {
		return reflect.Value{}
	}
	return into.FieldByIndex(field.Index)
}

func (d *Decoder) elements(m *message, elem int, into reflect.Value, depth int) error {
	if !into.IsValid() {
		return d.passOver(m, depth, elem)
	}
	if into.Kind() != reflect.Slice || isBytes(into.Type()) {
		return mismatch(into, "a slice")
	}
	count := m.count()
	values := reflect.MakeSlice(into.Type(), 0, min(count, 64))
	for i := range count {
		value := reflect.New(into.Type().Elem()).Elem()
		if err := d.value(m, elem, value, depth+1); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
		values = reflect.Append(values, value)
	}
	into.Set(values)
	return nil
}

// passOver reads a count and so many times a value of each type.
func (d *Decoder) passOver(m *message, depth int, types ...int) error {
	for range m.count() {
		for _, id := range types {
			if err := d.value(m, id, reflect.Value{}, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
