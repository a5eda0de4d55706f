// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testrig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
)

const (
	attempts       = 40                     // longer than neighbour discovery, which asks three times in three seconds
	attemptTimeout = 100 * time.Millisecond // of one of them
)

// exchange sends a datagram of size bytes from one namespace to target in
// another, which answers, and returns the address it arrived from, or tries
// again so many times. It sets the "don't fragment" flag.
func exchange(from, to ns.NetNS, target string, size, times int) (string, error) {
	network := "udp6"
	if net.ParseIP(target).To4() != nil {
		network = "udp4"
	}
	server, err := ns.Call(to, func() (net.PacketConn, error) { return net.ListenPacket(network, ":0") })
	if err != nil {
		return "", err
	}
	defer server.Close()
	port := server.LocalAddr().(*net.UDPAddr).Port
	client, err := ns.Call(from, func() (net.Conn, error) {
		dialer := net.Dialer{Control: dontFragment}
		return dialer.DialContext(context.Background(), network, net.JoinHostPort(target, fmt.Sprint(port)))
	})
	if err != nil {
		return "", err
	}
	defer client.Close()
	seen := make(chan string, times)
	go echo(server, size, seen)
	return converse(client, size, seen, times)
}

func converse(client net.Conn, size int, seen <-chan string, times int) (string, error) {
	var last error
	answer := make([]byte, size+1)
	for range times {
		if _, err := client.Write(make([]byte, size)); err != nil {
			last = err // unreachable, or larger than the MTU: may still be settling
		}
		if err := client.SetReadDeadline(time.Now().Add(attemptTimeout)); err != nil {
			return "", err
		}
		if n, err := client.Read(answer); err == nil && n == size {
			return <-seen, nil
		} else if err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			last = err
		}
	}
	return "", fmt.Errorf("no answer from %s: %w", client.RemoteAddr(), last)
}

// echo answers datagrams of the right size until the server is closed.
func echo(server net.PacketConn, size int, seen chan<- string) {
	buffer := make([]byte, size+1)
	for {
		n, addr, err := server.ReadFrom(buffer)
		if err != nil {
			return
		}
		if n != size {
			continue
		}
		if host, _, err := net.SplitHostPort(addr.String()); err == nil {
			seen <- host
		}
		_, _ = server.WriteTo(buffer[:n], addr)
	}
}

func dontFragment(network, _ string, raw syscall.RawConn) error {
	var err error
	controlErr := raw.Control(func(fd uintptr) {
		if network == "udp4" {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		}
	})
	return errors.Join(controlErr, err)
}
