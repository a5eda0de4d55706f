// SPDX-License-Identifier: Apache-2.0

package gobwire

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"reflect"
)

// Encoder is the writing end of a stream.
type Encoder struct {
	out   io.Writer
	known map[reflect.Type]int // types that have been described
}

// NewEncoder returns an Encoder that writes to out.
func NewEncoder(out io.Writer) *Encoder { return &Encoder{out, map[reflect.Type]int{}} }

// Encode writes v, a struct or a pointer to one, in one go with the types that
// the stream does not know yet. A pointer to zero arrives as nil.
func (e *Encoder) Encode(v any) error {
	value := reflect.Indirect(reflect.ValueOf(v))
	if value.Kind() != reflect.Struct {
		return fmt.Errorf("encode a %T: only structs can be", v)
	}
	stream, id, err := e.describe(nil, value.Type())
	if err != nil {
		return err
	}
	body, err := appendStruct(appendInt(nil, int64(id)), value)
	if err != nil {
		return err
	}
	_, err = e.out.Write(appendBytes(stream, body))
	return err
}

// describe returns the number of t, after it has appended what the stream has
// to be told of it.
func (e *Encoder) describe(stream []byte, t reflect.Type) ([]byte, int, error) {
	t = pointedTo(t)
	if id, ok := basic(t); ok {
		return stream, id, nil
	}
	if id, ok := e.known[t]; ok {
		return stream, id, nil
	}
	id := lastReservedType + 1 + len(e.known)
	e.known[t] = id
	stream, what, err := e.description(stream, t, commonType{t.Name(), id})
	if err != nil {
		return nil, 0, err
	}
	body, err := appendStruct(appendInt(nil, -int64(id)), reflect.ValueOf(what))
	return appendBytes(stream, body), id, err
}

func (e *Encoder) description(stream []byte, t reflect.Type, common commonType) ([]byte, description, error) {
	switch t.Kind() {
	case reflect.Slice:
		stream, elem, err := e.describe(stream, t.Elem())
		return stream, description{Slice: &sliceType{common, elem}}, err
	case reflect.Struct:
		fields := []fieldType{}
		for _, field := range exported(t) {
			var id int
			var err error
			if stream, id, err = e.describe(stream, field.Type); err != nil {
				return nil, description{}, fmt.Errorf("%s.%s: %w", t, field.Name, err)
			}
			fields = append(fields, fieldType{field.Name, id})
		}
		return stream, description{Struct: &structType{common, fields}}, nil
	}
	return nil, description{}, fmt.Errorf("a %s cannot be encoded", t)
}

// exported returns the fields that are encoded.
func exported(t reflect.Type) []reflect.StructField {
	var fields []reflect.StructField
	for i := range t.NumField() {
		if field := t.Field(i); field.IsExported() {
			fields = append(fields, field)
		}
	}
	return fields
}

// appendStruct appends the fields, each after its distance from the one before.
// What is zero is left out.
func appendStruct(out []byte, value reflect.Value) ([]byte, error) {
	last := -1
	for n, field := range exported(value.Type()) {
		v := value.FieldByIndex(field.Index)
		if isLeftOut(v) {
			continue
		}
		var err error
		if out, err = appendValue(appendUint(out, uint64(n-last)), v); err != nil {
			return nil, fmt.Errorf("%s: %w", field.Name, err)
		}
		last = n
	}
	return append(out, 0), nil
}

// isLeftOut tells whether v, a field, is not sent. A struct always is.
func isLeftOut(v reflect.Value) bool {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		return false
	case reflect.Slice:
		return v.Len() == 0
	}
	return v.IsZero()
}

func appendValue(out []byte, v reflect.Value) ([]byte, error) {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil, fmt.Errorf("nil among other values of %s", v.Type())
	case v.Kind() == reflect.Pointer:
		return appendValue(out, v.Elem())
	case v.Kind() == reflect.Bool && v.Bool():
		return append(out, 1), nil
	case v.Kind() == reflect.Bool:
		return append(out, 0), nil
	case v.CanInt():
		return appendInt(out, v.Int()), nil
	case v.CanUint():
		return appendUint(out, v.Uint()), nil
	case v.Kind() == reflect.String:
		return appendBytes(out, []byte(v.String())), nil
	case isBytes(v.Type()):
		return appendBytes(out, v.Bytes()), nil
	case v.Kind() == reflect.Slice:
		return appendSlice(out, v)
	}
	return appendStruct(out, v)
}

func appendSlice(out []byte, v reflect.Value) (_ []byte, err error) {
	out = appendUint(out, uint64(v.Len()))
	for i := range v.Len() {
		if out, err = appendValue(out, v.Index(i)); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return out, nil
}

func appendBytes(out, data []byte) []byte {
	return append(appendUint(out, uint64(len(data))), data...)
}

// appendUint appends a number below 128 as a byte, any other as the negative
// count of its bytes, and these.
func appendUint(out []byte, n uint64) []byte {
	if n < 0x80 {
		return append(out, byte(n))
	}
	size := (bits.Len64(n) + 7) / 8
	bytes := binary.BigEndian.AppendUint64(nil, n)
	return append(append(out, byte(-size)), bytes[8-size:]...)
}

// appendInt appends n with its sign in the lowest bit. All bits of a negative
// one are inverted.
func appendInt(out []byte, n int64) []byte {
	return appendUint(out, uint64(n<<1)^uint64(n>>63))
}
