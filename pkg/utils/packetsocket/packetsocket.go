// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package packetsocket sends and receives the packets of one protocol on a link
// that need not have an address, past every firewall.
package packetsocket

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// maxPacket is how long a received packet may be.
const maxPacket = 1500

// Socket belongs to the network namespace in which it was opened; using it takes
// no thread there. It is closed once nobody uses it any more.
type Socket struct {
	file     *os.File
	raw      syscall.RawConn
	index    int
	protocol uint16 // in network byte order
}

// Open opens a socket for an ETH_P_... on the link with the index, in the network
// namespace of the calling thread. The filter (see bpf.Assemble; nil keeps nothing
// out) is in place before the first packet can arrive.
func Open(index int, protocol uint16, filter []bpf.RawInstruction) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "packet socket")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s := &Socket{file, raw, index, networkOrder(protocol)}
	if err := attach(fd, filter); err != nil {
		return nil, errors.Join(fmt.Errorf("attach the filter to a packet socket: %w", err), file.Close())
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: s.protocol, Ifindex: index}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind a packet socket: %w", err), file.Close())
	}
	return s, nil
}

func networkOrder(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

func attach(fd int, filter []bpf.RawInstruction) error {
	if len(filter) == 0 {
		return nil
	}
	code := make([]unix.SockFilter, len(filter))
	for i, in := range filter {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]})
}

// Send sends a packet to a neighbour, or to all of them.
func (s *Socket) Send(packet []byte, to net.HardwareAddr) error {
	address := &unix.SockaddrLinklayer{Protocol: s.protocol, Ifindex: s.index, Halen: uint8(len(to))}
	copy(address.Addr[:], to)
	var sent error
	err := s.raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), packet, 0, address)
		return !errors.Is(sent, unix.EAGAIN)
	})
	return errors.Join(err, sent)
}

// Receive waits for a packet and returns it, with the neighbour it came from. At
// the time said by Until it gives up with os.ErrDeadlineExceeded.
func (s *Socket) Receive() (packet []byte, from net.HardwareAddr, err error) {
	buffer := make([]byte, maxPacket)
	var received error
	var n int
	err = s.raw.Read(func(fd uintptr) bool {
		var sender unix.Sockaddr
		n, sender, received = unix.Recvfrom(int(fd), buffer, 0)
		if link, ok := sender.(*unix.SockaddrLinklayer); ok && link.Halen == 6 {
			from = net.HardwareAddr(link.Addr[:6:6])
		}
		return !errors.Is(received, unix.EAGAIN)
	})
	if err := errors.Join(err, received); err != nil {
		return nil, nil, err
	}
	return buffer[:n], from, nil
}

// Until makes Receive return at a time.
func (s *Socket) Until(deadline time.Time) error { return s.file.SetReadDeadline(deadline) }

// InterruptBy makes a Receive that is going on return when ctx ends, and all
// later ones, as long as Until is not called again.
func (s *Socket) InterruptBy(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = s.Until(time.Unix(1, 0)) })
}

// Close closes the socket.
func (s *Socket) Close() error { return s.file.Close() }
