// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package acd finds out whether somebody on a link has an address already, before
// it is used: address conflict detection, for IPv4 by ARP (RFC 5227).
package acd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/packetsocket"
)

// RFC 5227 sends three probes one to two seconds apart, and waits two seconds
// more. On the links containers are on, who has an address answers in
// milliseconds.
const (
	probes   = 3
	interval = 200 * time.Millisecond
)

const (
	arpRequest = 1
	arpLength  = 28
)

// ConflictError says that somebody else has an address, or is about to.
type ConflictError struct {
	IP  net.IP
	MAC net.HardwareAddr // whose it is
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s is in use by somebody else: %s says that it has it", e.IP, e.MAC)
}

// Probe makes sure that nobody else on the link has one of the IPv4 addresses,
// which its MAC address is about to use. The error is a *ConflictError if somebody
// has. It works in the network namespace of the calling thread; the link is up.
func Probe(ctx context.Context, index int, mac net.HardwareAddr, ips []net.IP) error {
	socket, err := packetsocket.Open(index, unix.ETH_P_ARP, nil)
	if err != nil {
		return err
	}
	conflict, err := AskByARP(ctx, socket, mac, ips...)
	if conflict != nil {
		err = conflict
	}
	return errors.Join(err, socket.Close())
}

// Judge returns what a packet says against an address, or nil.
type Judge func(packet []byte, from net.HardwareAddr) *ConflictError

// Ask sends the probes several times, 0.6 seconds in all, and returns the first
// that judge holds against an address; nil if there is nothing.
func Ask(ctx context.Context, socket *packetsocket.Socket, packets [][]byte, to net.HardwareAddr, judge Judge) (*ConflictError, error) {
	defer socket.InterruptBy(ctx)()
	for range probes {
		for _, packet := range packets {
			if err := socket.Send(packet, to); err != nil {
				return nil, fmt.Errorf("probe the address: %w", err)
			}
		}
		if err := socket.Until(time.Now().Add(interval)); err != nil {
			return nil, err
		}
		conflict, err := listen(socket, judge)
		if conflict != nil || err != nil {
			return conflict, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, nil
}

func listen(socket *packetsocket.Socket, judge Judge) (*ConflictError, error) {
	for {
		packet, from, err := socket.Receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("probe the address: %w", err)
		}
		if conflict := judge(packet, from); conflict != nil {
			return conflict, nil
		}
	}
}

// AskByARP is Ask for IPv4 addresses that the owner of the MAC address is about to
// use. The socket is for ARP.
func AskByARP(ctx context.Context, socket *packetsocket.Socket, mac net.HardwareAddr, ips ...net.IP) (*ConflictError, error) {
	var packets [][]byte
	for _, ip := range ips {
		packets = append(packets, request(mac, ip))
	}
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	return Ask(ctx, socket, packets, everybody, func(packet []byte, _ net.HardwareAddr) *ConflictError {
		return conflictIn(packet, mac, ips)
	})
}

// request asks for an address on behalf of nobody.
func request(mac net.HardwareAddr, ip net.IP) []byte {
	packet := []byte{0, 1, 8, 0, 6, 4, 0, arpRequest}
	packet = append(packet, mac...)
	packet = append(packet, 0, 0, 0, 0)
	packet = append(packet, 0, 0, 0, 0, 0, 0)
	return append(packet, ip.To4()...)
}

// conflictIn returns who uses one of the addresses, or is about to, according to
// an ARP packet.
func conflictIn(packet []byte, own net.HardwareAddr, ips []net.IP) *ConflictError {
	if len(packet) < arpLength || binary.BigEndian.Uint16(packet[2:]) != unix.ETH_P_IP {
		return nil
	}
	sender := net.HardwareAddr(bytes.Clone(packet[8:14]))
	if bytes.Equal(sender, own) {
		return nil
	}
	has, wants := net.IP(packet[14:18]), net.IP(packet[24:28])
	probes := binary.BigEndian.Uint16(packet[6:]) == arpRequest && has.Equal(net.IPv4zero)
	for _, ip := range ips {
		if has.Equal(ip) || probes && wants.Equal(ip) {
			return &ConflictError{ip, sender}
		}
	}
	return nil
}
