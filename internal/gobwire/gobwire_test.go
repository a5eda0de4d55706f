// SPDX-License-Identifier: Apache-2.0

package gobwire

import (
	"bytes"
	"encoding/gob"
	"errors"
	"io"
	"math"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
)

type numbers struct {
	Small  int8
	Large  int64
	Bytes  []byte
	Byte   uint8
	Word   uint64
	Yes    bool
	Wait   time.Duration
	List   []int64
	Flags  []bool
	Nested []struct{ Names []string }
	Deep   **int
	hidden int
}

func pointer[T any](v T) *T { return &v }

// samples are values that arrive as they were.
func samples() []any {
	return []any{
		&struct{}{},
		&skel.CmdArgs{ContainerID: "c1", Netns: "/run/netns/n", IfName: "eth0", Path: strings.Repeat("/opt/cni/bin:", 20), StdinData: []byte(`{"a":"\u0000"}`)},
		&numbers{},
		&numbers{
			Small: -128, Large: math.MinInt64, Bytes: []byte{0, 255}, Byte: 255, Word: math.MaxUint64, Yes: true, Wait: time.Minute,
			List: []int64{0, -1, 1, 63, 64, -64, -65, 127, 128, math.MaxInt64}, Flags: []bool{true, false},
			Nested: []struct{ Names []string }{{}, {[]string{"", "a", strings.Repeat("ä", 100)}}}, Deep: pointer(pointer(7)),
		},
		&current.Result{
			CNIVersion: "1.0.0",
			Interfaces: []*current.Interface{{Name: "eth0", Mac: "02:00:00:00:00:01", Mtu: 1500, Sandbox: "s"}},
			IPs: []*current.IPConfig{
				{Address: net.IPNet{IP: net.IP{10, 0, 0, 2}, Mask: net.CIDRMask(24, 32)}, Gateway: net.IP{10, 0, 0, 1}, Interface: pointer(1)},
				{Address: net.IPNet{IP: net.ParseIP("2001:db8::1"), Mask: net.CIDRMask(64, 128)}},
			},
			Routes: []*types.Route{{Dst: net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, GW: net.IP{10, 0, 0, 1}, MTU: 1400, Table: pointer(5)}, {}},
			DNS:    types.DNS{Nameservers: []string{"10.0.0.1", "::1"}, Domain: "example.com"},
		},
	}
}

type encoder interface{ Encode(any) error }

type decoder interface{ Decode(any) error }

// TestEitherEnd sends the samples twice, so that the second time their types
// are known, between this package and encoding/gob.
func TestEitherEnd(t *testing.T) {
	for name, ends := range map[string]struct {
		encoder func(io.Writer) encoder
		decoder func(*bytes.Buffer) decoder
	}{
		"ours to theirs": {func(w io.Writer) encoder { return NewEncoder(w) }, func(r *bytes.Buffer) decoder { return gob.NewDecoder(r) }},
		"theirs to ours": {func(w io.Writer) encoder { return gob.NewEncoder(w) }, func(r *bytes.Buffer) decoder { return NewDecoder(r) }},
		"ours to ours":   {func(w io.Writer) encoder { return NewEncoder(w) }, func(r *bytes.Buffer) decoder { return NewDecoder(r) }},
	} {
		t.Run(name, func(t *testing.T) {
			stream := new(bytes.Buffer)
			out, in := ends.encoder(stream), ends.decoder(stream)
			for _, sample := range append(samples(), samples()...) {
				if err := out.Encode(sample); err != nil {
					t.Fatalf("encode %T: %v", sample, err)
				}
				got := reflect.New(reflect.TypeOf(sample).Elem()).Interface()
				if err := in.Decode(got); err != nil {
					t.Fatalf("decode %T: %v", sample, err)
				}
				if !reflect.DeepEqual(got, sample) {
					t.Errorf("%T: got %+v, expected %+v", sample, got, sample)
				}
			}
			if err := in.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

// TestSameBytes compares the values themselves with those of encoding/gob. The
// numbers of types differ: that package counts through the process.
func TestSameBytes(t *testing.T) {
	for _, sample := range samples()[1:] {
		ours, theirs := new(bytes.Buffer), new(bytes.Buffer)
		a, b := NewEncoder(ours), gob.NewEncoder(theirs)
		for range 2 { // the second message has no types
			ours.Reset()
			theirs.Reset()
			if err := errors.Join(a.Encode(sample), b.Encode(sample)); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := afterType(t, ours), afterType(t, theirs); !bytes.Equal(got, want) {
			t.Errorf("%T:\n%x\n%x", sample, got, want)
		}
	}
}

func afterType(t *testing.T, stream *bytes.Buffer) []byte {
	t.Helper()
	m := &message{rest: stream.Bytes()}
	if length := m.uint(); length != uint64(len(m.rest)) {
		t.Fatalf("%x is not one message", stream.Bytes())
	}
	m.int()
	if m.damaged || len(m.rest) == 0 {
		t.Fatalf("%x has no value", stream.Bytes())
	}
	return m.rest
}

// TestPassesOver reads structs that have other fields than ours.
func TestPassesOver(t *testing.T) {
	type theirs struct {
		Float   float64
		Complex complex128
		Map     map[string][]int
		Array   [3]string
		Time    time.Time // a BinaryMarshaler
		More    []struct{ Pairs map[int]bool }
		Last    string
	}
	stream := new(bytes.Buffer)
	sent := theirs{1.5, 2i, map[string][]int{"a": {1}, "b": nil}, [3]string{"x", "y", "z"}, time.Unix(1, 0), []struct{ Pairs map[int]bool }{{map[int]bool{5: true}}}, "end"}
	if err := gob.NewEncoder(stream).Encode(sent); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Missing int
		last    string
		Last    string
	}
	got.Missing = 3
	if err := NewDecoder(stream).Decode(&got); err != nil || got.Last != "end" || got.Missing != 3 || got.last != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestMismatch reads into fields of the same name and another type.
func TestMismatch(t *testing.T) {
	for _, c := range []struct{ sent, into any }{
		{struct{ A string }{"x"}, &struct{ A int }{}},
		{struct{ A int }{300}, &struct{ A int8 }{}},
		{struct{ A int }{1}, &struct{ A uint }{}},
		{struct{ A uint }{256}, &struct{ A uint8 }{}},
		{struct{ A bool }{true}, &struct{ A string }{}},
		{struct{ A []byte }{[]byte("x")}, &struct{ A string }{}},
		{struct{ A []int }{[]int{1}}, &struct{ A []byte }{}},
		{struct{ A []int }{[]int{1}}, &struct{ A []string }{}},
		{struct{ A struct{ B int } }{}, &struct{ A []int }{}},
		{struct{ A [2]int }{[2]int{1, 2}}, &struct{ A []int }{}},
		{struct{ A float64 }{1}, &struct{ A int }{}},
		{"text", &struct{ A int }{}},
	} {
		stream := new(bytes.Buffer)
		if err := gob.NewEncoder(stream).Encode(c.sent); err != nil {
			t.Fatal(err)
		}
		if err := NewDecoder(stream).Decode(c.into); err == nil {
			t.Errorf("%+v went into %T: %+v", c.sent, c.into, c.into)
		}
	}
}

func TestRefused(t *testing.T) {
	out := NewEncoder(io.Discard)
	for _, v := range []any{nil, 5, "text", struct{ A float64 }{}, struct{ A map[int]int }{}, struct{ A any }{}, struct{ A []*int }{[]*int{nil}}} {
		if out.Encode(v) == nil {
			t.Errorf("%T was encoded", v)
		}
	}
	for _, v := range []any{nil, 5, struct{}{}, new(int), (*struct{})(nil)} {
		if NewDecoder(new(bytes.Buffer)).Decode(v) == nil {
			t.Errorf("decoded into a %T", v)
		}
	}
}

// TestTruncated cuts a stream everywhere: no part of it is taken for the whole.
func TestTruncated(t *testing.T) {
	stream := new(bytes.Buffer)
	sample := samples()[4]
	if err := gob.NewEncoder(stream).Encode(sample); err != nil {
		t.Fatal(err)
	}
	for n := range stream.Len() {
		err := NewDecoder(bytes.NewBuffer(stream.Bytes()[:n])).Decode(new(current.Result))
		if err == nil || errors.Is(err, io.EOF) != (n == 0) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// TestDeep reads a struct that holds itself more often than anybody means.
func TestDeep(t *testing.T) {
	type node struct{ Next *node }
	var list *node
	for range 10 * maxDepth {
		list = &node{list}
	}
	stream := new(bytes.Buffer)
	if err := gob.NewEncoder(stream).Encode(list); err != nil {
		t.Fatal(err)
	}
	if err := NewDecoder(stream).Decode(new(node)); !errors.Is(err, errCorrupt) {
		t.Error(err)
	}
}

// FuzzDecode compares with encoding/gob: what both can read, they read in the
// same way.
func FuzzDecode(f *testing.F) {
	for _, sample := range samples() {
		stream := new(bytes.Buffer)
		if err := gob.NewEncoder(stream).Encode(sample); err != nil {
			f.Fatal(err)
		}
		f.Add(stream.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var ours, theirs current.Result
		if NewDecoder(bytes.NewBuffer(data)).Decode(&ours) != nil || gob.NewDecoder(bytes.NewBuffer(data)).Decode(&theirs) != nil {
			return
		}
		if !reflect.DeepEqual(ours, theirs) {
			t.Errorf("got %+v, expected %+v", ours, theirs)
		}
	})
}
