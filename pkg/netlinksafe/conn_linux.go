// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// receiveBuffer is what a message from the kernel may take: 64 KB of alternative
// names, and what else there is to say about a link.
const receiveBuffer = 128 << 10

// buffers are for messages from the kernel. A plugin opens one socket after
// another, and each buffer would be a span of the heap of its own, with pages
// that nobody has touched.
var buffers = sync.Pool{New: func() any { return new([receiveBuffer]byte) }}

// Conn is a netlink socket in one network namespace. What the netlink library
// opens for each call is a file that the poller watches and that has been given
// an address, a dozen system calls in all; the kernel answers a request before
// the call that sends it returns, so there is nothing to watch for.
type Conn struct {
	fd     int
	buffer *[receiveBuffer]byte
}

// Dial opens a routing socket in the network namespace of the calling thread.
func Dial() (*Conn, error) { return DialProtocol(unix.NETLINK_ROUTE) }

// DialProtocol opens a socket of a netlink protocol (netlink(7)) in the network
// namespace of the calling thread.
func DialProtocol(protocol int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	return &Conn{fd: fd, buffer: buffers.Get().(*[receiveBuffer]byte)}, nil
}

// Close closes the socket. What Receive returned is not valid any more.
func (c *Conn) Close() {
	_ = unix.Close(c.fd)
	buffers.Put(c.buffer)
	c.buffer = nil
}

// Execute opens a socket for one request in the current namespace: see
// Conn.Execute.
func Execute(request *nl.NetlinkRequest) ([][]byte, error) {
	conn, err := Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.Execute(request)
}

// Execute sends a request and returns the messages of the answer, without their
// headers. An error of the kernel is a syscall.Errno. A list that changed
// meanwhile is returned with netlink.ErrDumpInterrupted.
func (c *Conn) Execute(request *nl.NetlinkRequest) ([][]byte, error) {
	if err := c.Send(request); err != nil {
		return nil, err
	}
	var answer [][]byte
	var interrupted error
	for {
		messages, err := c.Receive()
		if err != nil {
			return nil, err
		}
		for _, message := range messages {
			if message.Header.Seq != request.Seq {
				continue
			}
			if message.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
				interrupted = netlink.ErrDumpInterrupted
			}
			switch message.Header.Type {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				if err := Refusal(message); err != nil {
					return nil, err
				}
				return answer, interrupted
			}
			answer = append(answer, bytes.Clone(message.Data))
			if message.Header.Flags&unix.NLM_F_MULTI == 0 {
				return answer, interrupted
			}
		}
	}
}

// Send sends requests with one system call.
func (c *Conn) Send(requests ...*nl.NetlinkRequest) error {
	var data []byte
	for _, request := range requests {
		data = append(data, request.Serialize()...)
	}
	if len(data) > 1<<16 { // what does not fit is refused; the privilege for the rest allows this, too
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 2*len(data))
	}
	return unix.Sendto(c.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// Receive returns messages from the kernel. They are valid until the next call,
// or until Close.
func (c *Conn) Receive() ([]syscall.NetlinkMessage, error) {
	for {
		n, from, err := unix.Recvfrom(c.fd, c.buffer[:], unix.MSG_TRUNC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("receive from a netlink socket: %w", err)
		}
		if n > len(c.buffer) {
			return nil, fmt.Errorf("receive from a netlink socket: a message of %d bytes", n)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid != nl.PidKernel {
			continue // not from the kernel
		}
		return syscall.ParseNetlinkMessage(c.buffer[:n])
	}
}

// Refusal returns the error that a message of type NLMSG_ERROR or NLMSG_DONE
// holds; nil if it says that all is well.
func Refusal(message syscall.NetlinkMessage) error {
	if len(message.Data) < 4 {
		return nil
	}
	if code := int32(nl.NativeEndian().Uint32(message.Data)); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}
