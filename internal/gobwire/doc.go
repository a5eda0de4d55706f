// SPDX-License-Identifier: Apache-2.0

// Package gobwire speaks what encoding/gob speaks, as far as structs of
// booleans, integers, strings, bytes, slices and pointers go. Either end of a
// stream may be the one or the other. Fields of other types are passed over when
// they arrive.
//
// The reason is what encoding/gob computes before main, a quarter of a
// millisecond: in the one executable every plugin would pay for it.
//
// A stream is of messages, each after its length. A message is the negative
// number of a type and its description, or the number of a type and a value of
// it. The documentation of encoding/gob has the details.
package gobwire

import "reflect"

// Types that need no description, and the description itself.
const (
	boolType      = 1
	intType       = 2
	uintType      = 3
	floatType     = 4
	bytesType     = 5
	stringType    = 6
	complexType   = 7
	interfaceType = 8

	descriptionType = 16
	arrayTypeType   = 17
	commonTypeType  = 18
	sliceTypeType   = 19
	structTypeType  = 20
	fieldTypeType   = 21
	fieldsType      = 22
	mapTypeType     = 23
	opaqueTypeType  = 24 // of ours: where it is used, its number is not on the stream

	lastReservedType = 64
)

// description is what a stream says of a type: one of the fields is not nil.
// The names of these structs' fields do not matter, their order does.
type description struct {
	Array           *arrayType
	Slice           *sliceType
	Struct          *structType
	Map             *mapType
	GobEncoder      *opaqueType
	BinaryMarshaler *opaqueType
	TextMarshaler   *opaqueType
}

type commonType struct {
	Name string
	ID   int
}

type arrayType struct {
	Common commonType
	Elem   int
	Len    int
}

type sliceType struct {
	Common commonType
	Elem   int
}

type structType struct {
	Common commonType
	Fields []fieldType
}

type fieldType struct {
	Name string
	Type int
}

type mapType struct {
	Common commonType
	Key    int
	Elem   int
}

type opaqueType struct {
	Common commonType
}

// described returns the description of a type that is used to describe others.
func described(id int) (description, bool) {
	switch id {
	case descriptionType:
		return structOf("Array", arrayTypeType, "Slice", sliceTypeType, "Struct", structTypeType, "Map", mapTypeType,
			"GobEncoder", opaqueTypeType, "BinaryMarshaler", opaqueTypeType, "TextMarshaler", opaqueTypeType), true
	case commonTypeType:
		return structOf("Name", stringType, "ID", intType), true
	case arrayTypeType:
		return structOf("Common", commonTypeType, "Elem", intType, "Len", intType), true
	case sliceTypeType:
		return structOf("Common", commonTypeType, "Elem", intType), true
	case structTypeType:
		return structOf("Common", commonTypeType, "Fields", fieldsType), true
	case fieldTypeType:
		return structOf("Name", stringType, "Type", intType), true
	case fieldsType:
		return description{Slice: &sliceType{Elem: fieldTypeType}}, true
	case mapTypeType:
		return structOf("Common", commonTypeType, "Key", intType, "Elem", intType), true
	case opaqueTypeType:
		return structOf("Common", commonTypeType), true
	}
	return description{}, false
}

// structOf describes a struct by names of fields and their types in turn.
func structOf(fields ...any) description {
	described := &structType{}
	for i := 0; i < len(fields); i += 2 {
		described.Fields = append(described.Fields, fieldType{fields[i].(string), fields[i+1].(int)})
	}
	return description{Struct: described}
}

// basic returns the number of a type that needs no description.
func basic(t reflect.Type) (id int, ok bool) {
	switch t.Kind() {
	case reflect.Bool:
		return boolType, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intType, true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return uintType, true
	case reflect.String:
		return stringType, true
	}
	return bytesType, isBytes(t)
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// pointedTo returns what is behind all pointers: on a stream there are none.
func pointedTo(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}
