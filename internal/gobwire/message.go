// SPDX-License-Identifier: Apache-2.0

package gobwire

import (
	"bytes"
	"io"
)

// message is what is left of a message. When something is missing, damaged is
// set and zeros are read.
type message struct {
	rest    []byte
	damaged bool
}

func (m *message) uint() uint64 {
	in := bytes.NewReader(m.rest)
	n, err := readUint(in)
	if err != nil {
		m.damaged = true
		m.rest = nil
		return 0
	}
	m.rest = m.rest[len(m.rest)-in.Len():]
	return n
}

func (m *message) int64() int64 {
	n := m.uint()
	return int64(n>>1) ^ -int64(n&1)
}

// int reads the number of a type, or of what is in a type.
func (m *message) int() int {
	n := m.int64()
	if int64(int32(n)) != n {
		m.damaged = true
		return 0
	}
	return int(n)
}

// count reads the number of values that follow. Each has a byte at least.
func (m *message) count() int {
	n := m.uint()
	if n > uint64(len(m.rest)) {
		m.damaged = true
		return 0
	}
	return int(n)
}

func (m *message) bytes() []byte {
	n := m.count()
	data := m.rest[:n]
	m.rest = m.rest[n:]
	return data
}

// readUint reads what appendUint writes.
func readUint(in io.ByteReader) (uint64, error) {
	first, err := in.ReadByte()
	if err != nil || first < 0x80 {
		return uint64(first), err
	}
	size := -int(int8(first))
	if size > 8 {
		return 0, errCorrupt
	}
	n := uint64(0)
	for range size {
		b, err := in.ReadByte()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		n = n<<8 | uint64(b)
	}
	return n, nil
}
