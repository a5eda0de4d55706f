// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"bytes"
	"context"
	"encoding/gob"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	current "github.com/containernetworking/cni/pkg/types/100"
)

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"name":"n","ipam":{"type":"dhcp","provide":[{"option":"host-name","fromArg":"N","value":"v"}],"request":[{"option":"6","skipDefault":true}],"family":"dual"}}`), "N=a=b;c")
	f.Add([]byte(`{"ipam":null}`), ";=;")
	f.Fuzz(func(t *testing.T, data []byte, args string) {
		ownerOf(decodeAnyway(data), &skel.CmdArgs{})
		config, err := decodeConfig(data)
		if err != nil {
			return
		}
		a := newAttachment(settings{}, config, &skel.CmdArgs{ContainerID: "c1", IfName: "eth0", StdinData: data, Args: args})
		a.settle(place{})
		for _, o := range a.identity.options {
			if len(o.value) > maxOption || !sendable(o.code) {
				t.Errorf("option %d with %d bytes", o.code, len(o.value))
			}
		}
		if len(a.leases) == 0 {
			t.Error("no lease")
		}
	})
}

// FuzzRecord reads what may be in a journal, and what would be done with it.
func FuzzRecord(f *testing.F) {
	golden, err := os.ReadFile("testdata/record.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"args":{"StdinData":"e30="},"grants":{"4":null,"6":{"message":"AA=="}}}`))
	path := filepath.Join(f.TempDir(), "record.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readRecord(path)
		if err != nil {
			return
		}
		a, err := revive(settings{log: log.New(io.Discard, "", 0)}, r)
		if err != nil {
			return
		}
		_, _ = a.result()
		if !slices.ContainsFunc(a.leases, func(l *lease) bool { return l.held() != nil }) {
			t.Error("nothing is held")
		}
		for _, l := range a.leases {
			g := l.held()
			if g == nil {
				continue
			}
			g.terms.times.at(time.Hour - g.Since)
			if l.family == inet4 {
				new(wire).to(g)
			}
		}
	})
}

// call4 is what a plugin sends.
func call4(f *testing.F, args *skel.CmdArgs) []byte {
	var data bytes.Buffer
	data.WriteString(connectLine + "\n\n")
	encoder := gob.NewEncoder(&data)
	for _, value := range []any{rpcRequest{ServiceMethod: methodRelease, Seq: 1}, args} {
		if err := encoder.Encode(value); err != nil {
			f.Fatal(err)
		}
	}
	return data.Bytes()
}

// FuzzCall has the daemon read what somebody sends.
func FuzzCall(f *testing.F) {
	f.Add(call4(f, &skel.CmdArgs{ContainerID: "c1", StdinData: []byte("{}")}))
	f.Add([]byte("GET / HTTP/1.1\r\nx: y\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		called := func(_ context.Context, args *skel.CmdArgs) (answer, error) {
			ownerOf(decodeAnyway(args.StdinData), args)
			return answer{reply: struct{}{}}, nil
		}
		here, there := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = serveConn(context.Background(), there, map[string]method{methodRelease: called})
		}()
		go func() { _, _ = io.Copy(io.Discard, here) }()
		_, _ = here.Write(data)
		here.Close()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("the daemon still listens to a caller who has gone")
		}
	})
}

// FuzzAnswer has the plugin read what a daemon sends.
func FuzzAnswer(f *testing.F) {
	var data bytes.Buffer
	data.WriteString(connectedLine + "\n\n")
	encoder := gob.NewEncoder(&data)
	for _, value := range []any{rpcResponse{ServiceMethod: methodAllocate}, &current.Result{IPs: []*current.IPConfig{{Gateway: net.IPv4zero}}}} {
		if err := encoder.Encode(value); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(data.Bytes())
	f.Fuzz(func(_ *testing.T, data []byte) {
		conn := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(data), io.Discard}
		_ = converse(conn, methodAllocate, new(skel.CmdArgs), new(current.Result))
	})
}

func FuzzFlags(f *testing.F) {
	f.Add("-timeout=1s\n--hostprefix\n/host\n-socketpath=/x.sock\n-broadcast")
	f.Add("-h")
	f.Fuzz(func(t *testing.T, text string) {
		flags, err := parseFlags(strings.Split(text, "\n"), io.Discard)
		if err != nil {
			return
		}
		if flags.limits.timeout <= 0 || flags.limits.backoff(3) <= 0 || journalPath(flags.listenPath()) == flags.listenPath() {
			t.Errorf("%+v", flags)
		}
	})
}

// FuzzEvent has the watch read what the kernel would not send.
func FuzzEvent(f *testing.F) {
	f.Add(make([]byte, 64), make([]byte, 24))
	f.Fuzz(func(_ *testing.T, data, control []byte) {
		w := &watch{log: log.New(io.Discard, "", 0), places: map[int][]*attachment{}}
		w.handle(data, namespaceNumber(control))
		w.namespaceGone(data)
	})
}
