// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/containernetworking/plugins/internal/gobwire"
)

// The protocol is that of Go's net/rpc over HTTP, as the reference's plugin and
// daemon speak it. That package would bring net/http into the plugin, whose
// start is part of every command; what is used of it is little.
//
// The client says connectLine and an empty line, the server connectedLine and
// an empty line. Then each call is two gob values in either direction.
const (
	connectLine   = "CONNECT /_goRPC_ HTTP/1.0"
	connectedLine = "HTTP/1.0 200 Connected to Go RPC"
)

// Methods of the daemon. All take skel.CmdArgs. Those of the reference are the
// first two.
const (
	methodAllocate = "DHCP.Allocate" // returns current.Result
	methodRelease  = "DHCP.Release"  // returns an empty struct
	methodLimits   = "DHCP.Limits"   // returns daemonLimits
	methodGC       = "DHCP.GC"       // returns an empty struct
)

// daemonLimits are what a plugin should know of the daemon.
type daemonLimits struct {
	Acquire time.Duration // after which it gives up to get a lease
}

// rpcRequest and rpcResponse precede the values of a call.
type rpcRequest struct {
	ServiceMethod string
	Seq           uint64
}

type rpcResponse struct {
	ServiceMethod string
	Seq           uint64
	Error         string // empty: success, and the reply follows; else an empty struct follows
	Reason        string // of the error, if that is reasoned; peers of other releases know nothing of it
}

// reasoned is an error whose text others compare: they are told the reason apart.
type reasoned struct{ err, reason error }

func (r *reasoned) Error() string   { return r.err.Error() + ": " + r.reason.Error() }
func (r *reasoned) Unwrap() []error { return []error{r.err, r.reason} }

// remoteError is what a daemon answered.
type remoteError string

func (e remoteError) Error() string { return string(e) }

func isUnknownMethod(err error) bool {
	var remote remoteError
	return errors.As(err, &remote) && strings.HasPrefix(string(remote), "rpc: can't find method ")
}

// call calls a method of the daemon at socket. It returns when ctx ends.
func call(ctx context.Context, socket, method string, args *skel.CmdArgs, reply any) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	err = converse(conn, method, args, reply)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func converse(conn io.ReadWriter, method string, args *skel.CmdArgs, reply any) error {
	if _, err := io.WriteString(conn, connectLine+"\n\n"); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	status, err := readHead(in)
	if err != nil {
		return err
	}
	if status != connectedLine {
		return fmt.Errorf("unexpected HTTP response: %s", status)
	}
	encoder, decoder := gobwire.NewEncoder(conn), gobwire.NewDecoder(in)
	if err := encoder.Encode(rpcRequest{ServiceMethod: method}); err != nil {
		return err
	}
	if err := encoder.Encode(args); err != nil {
		return err
	}
	var response rpcResponse
	if err := decoder.Decode(&response); err != nil {
		return err
	}
	switch {
	case response.Error != "" && response.Reason != "":
		return remoteError(response.Error + ": " + response.Reason)
	case response.Error != "":
		return remoteError(response.Error)
	}
	return decoder.Decode(reply)
}

// readHead reads up to the first empty line and returns the first one.
func readHead(in *bufio.Reader) (string, error) {
	first := ""
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case text == "":
			return first, nil
		case n == 0:
			first = text
		case n > 100:
			return "", errors.New("the header of the request has no end")
		}
	}
}

// answer is what a method returns. done is told whether it could be delivered, if
// anybody wants to know.
type answer struct {
	reply any
	done  func(error)
}

// method serves one call. Its context ends when the caller has gone away.
type method func(ctx context.Context, args *skel.CmdArgs) (answer, error)

// serveConn serves the calls of one connection until the caller closes it.
func serveConn(ctx context.Context, conn net.Conn, methods map[string]method) error {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	in := bufio.NewReader(conn)
	head, err := readHead(in)
	if errors.Is(err, io.EOF) {
		return nil // who only wanted to know whether somebody listens
	}
	if err != nil {
		return err
	}
	if !strings.HasPrefix(head, "CONNECT ") {
		_, err := io.WriteString(conn, "HTTP/1.0 405 Method Not Allowed\nContent-Type: text/plain; charset=utf-8\n\n405 must CONNECT\n")
		return err
	}
	if _, err := io.WriteString(conn, connectedLine+"\n\n"); err != nil {
		return err
	}
	s := &session{methods: methods, encoder: gobwire.NewEncoder(conn)}
	err = s.read(ctx, gobwire.NewDecoder(in))
	cancel()
	s.calls.Wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// session is one connection.
type session struct {
	methods map[string]method
	calls   sync.WaitGroup
	writing sync.Mutex
	encoder *gobwire.Encoder
}

// read starts every call that arrives. It goes on reading while they last, and
// so notices when the caller goes away.
func (s *session) read(ctx context.Context, decoder *gobwire.Decoder) error {
	for {
		var request rpcRequest
		if err := decoder.Decode(&request); err != nil {
			return err
		}
		args := new(skel.CmdArgs)
		if err := decoder.Decode(args); err != nil {
			return err
		}
		s.calls.Go(func() { s.serve(ctx, request, args) })
	}
}

func (s *session) serve(ctx context.Context, request rpcRequest, args *skel.CmdArgs) {
	got, err := s.run(ctx, request.ServiceMethod, args)
	response := rpcResponse{ServiceMethod: request.ServiceMethod, Seq: request.Seq}
	if err != nil {
		response.Error, response.Reason = describe(err)
		got.reply = struct{}{}
	}
	sendErr := s.send(ctx, response, got.reply)
	if got.done != nil {
		got.done(sendErr)
	}
}

func (s *session) send(ctx context.Context, response rpcResponse, reply any) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(s.encoder.Encode(response), s.encoder.Encode(reply))
}

// describe returns what an answer says of an error.
func describe(err error) (text, reason string) {
	var told *reasoned
	if errors.As(err, &told) {
		return told.err.Error(), told.reason.Error()
	}
	return err.Error(), ""
}

// run runs a method. A panic is an error of this call, not of all leases.
func (s *session) run(ctx context.Context, name string, args *skel.CmdArgs) (got answer, err error) {
	serve, ok := s.methods[name]
	if !ok {
		return answer{}, errors.New("rpc: can't find method " + name)
	}
	err = protect(func() error {
		got, err = serve(ctx, args)
		return err
	})
	return got, err
}

// authorize refuses callers who are neither root nor who we are: whoever may
// call can take addresses, and bring interfaces down.
func authorize(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) { peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if peerErr != nil {
		return fmt.Errorf("credentials of the caller: %w", peerErr)
	}
	if peer.Uid != 0 && int(peer.Uid) != unix.Geteuid() {
		return fmt.Errorf("process %d of user %d may not call: only root and user %d may", peer.Pid, peer.Uid, unix.Geteuid())
	}
	return nil
}
