// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Ping sends one ICMP echo request from saddr to daddr and waits timeoutSec
// seconds for the reply, ten if that is 0. It works in the namespace of the calling
// thread, so it may be called inside ns.NetNS.Do. daddr may be a name; a link-local
// one needs a zone.
func Ping(saddr, daddr string, timeoutSec int) error {
	timeout := time.Duration(cmp.Or(timeoutSec, 10)) * time.Second
	if err := ping(saddr, daddr, timeout); err != nil {
		return fmt.Errorf("ping from %s to %s: %w", saddr, daddr, err)
	}
	return nil
}

func ping(saddr, daddr string, timeout time.Duration) error {
	from, err := netip.ParseAddr(saddr)
	if err != nil {
		return err
	}
	to, err := resolve(daddr, from.Is4())
	if err != nil {
		return err
	}
	if from.Is4() != to.Is4() {
		return errors.New("the addresses are of different families")
	}
	return protocolOf(to).exchange(from, to, timeout)
}

// resolve returns the address that name is, or has in a family.
func resolve(name string, ipv4 bool) (netip.Addr, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr, nil
	}
	network := "ip6"
	if ipv4 {
		network = "ip4"
	}
	resolved, err := net.ResolveIPAddr(network, name)
	if err != nil {
		return netip.Addr{}, err
	}
	addr, _ := netip.AddrFromSlice(resolved.IP)
	return addr.Unmap().WithZone(resolved.Zone), nil
}

// echo is ICMP's echo in one version of IP.
type echo struct {
	family, protocol int
	errors, option   int // level and option that report ICMP errors as such
	request, reply   byte
}

func protocolOf(addr netip.Addr) echo {
	if addr.Is4() {
		return echo{unix.AF_INET, unix.IPPROTO_ICMP, unix.SOL_IP, unix.IP_RECVERR, 8, 0}
	}
	return echo{unix.AF_INET6, unix.IPPROTO_ICMPV6, unix.SOL_IPV6, unix.IPV6_RECVERR, 128, 129}
}

func (e echo) exchange(from, to netip.Addr, timeout time.Duration) error {
	socket, err := unix.Socket(e.family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, e.protocol)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(socket)
	if err := e.connect(socket, from, to); err != nil {
		return err
	}
	cookie := make([]byte, 16)
	rand.Read(cookie)
	if _, err := unix.Write(socket, e.message(cookie)); err != nil {
		return os.NewSyscallError("send", err)
	}
	return e.await(socket, cookie, timeout)
}

func (e echo) connect(socket int, from, to netip.Addr) error {
	if err := unix.SetsockoptInt(socket, e.errors, e.option, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	source, err := sockaddr(from)
	if err != nil {
		return err
	}
	if err := unix.Bind(socket, source); err != nil {
		return os.NewSyscallError("bind", err)
	}
	target, err := sockaddr(to)
	if err != nil {
		return err
	}
	return os.NewSyscallError("connect", unix.Connect(socket, target))
}

func sockaddr(addr netip.Addr) (unix.Sockaddr, error) {
	if addr.Is4() {
		return &unix.SockaddrInet4{Addr: addr.As4()}, nil
	}
	if addr.Zone() == "" {
		return &unix.SockaddrInet6{Addr: addr.As16()}, nil
	}
	link, err := net.InterfaceByName(addr.Zone())
	if err != nil {
		return nil, err
	}
	return &unix.SockaddrInet6{Addr: addr.As16(), ZoneId: uint32(link.Index)}, nil
}

// message is an echo request. The kernel fills the checksum in for IPv6, which
// covers addresses only it knows.
func (e echo) message(payload []byte) []byte {
	message := append([]byte{e.request, 0, 0, 0, 0, 1, 0, 1}, payload...)
	if e.family == unix.AF_INET {
		binary.BigEndian.PutUint16(message[2:], checksum(message))
	}
	return message
}

// checksum is the Internet checksum (RFC 1071) of an even number of bytes.
func checksum(data []byte) uint16 {
	var sum uint32
	for ; len(data) > 1; data = data[2:] {
		sum += uint32(binary.BigEndian.Uint16(data))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// await reads until the reply with the payload arrives.
func (e echo) await(socket int, payload []byte, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	buffer := make([]byte, 2048)
	for {
		if err := readable(socket, deadline); err != nil {
			return fmt.Errorf("no reply within %v: %w", timeout, err)
		}
		n, err := unix.Read(socket, buffer)
		if err != nil {
			return os.NewSyscallError("receive", err)
		}
		if e.isReply(buffer[:n], payload) {
			return nil
		}
	}
}

func (e echo) isReply(message, payload []byte) bool {
	if e.family == unix.AF_INET && len(message) > 0 { // raw sockets of IPv4 get the header, too
		message = message[min(int(message[0]&0xf)*4, len(message)):]
	}
	return len(message) >= 8 && message[0] == e.reply && bytes.Equal(message[8:], payload)
}

// readable waits until the socket has data or an error to give.
func readable(socket int, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		fds := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
		if n > 0 {
			return nil
		}
	}
}
