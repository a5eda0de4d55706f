// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// RFC 5227 sends three probes one to two seconds apart, and waits two seconds
// more. On the links containers are on, who has an address answers in
// milliseconds.
const (
	probes        = 3
	probeInterval = 200 * time.Millisecond
)

// probeWith sends a probe several times and returns who answers that the
// address is in use. judge returns the sender of a packet that says so, or nil.
func probeWith(ctx context.Context, socket *packetSocket, probe []byte, to net.HardwareAddr, judge func(packet []byte, from net.HardwareAddr) net.HardwareAddr) (net.HardwareAddr, error) {
	defer socket.interruptBy(ctx)()
	for range probes {
		if err := socket.send(probe, to); err != nil {
			return nil, fmt.Errorf("probe the address: %w", err)
		}
		if err := socket.until(time.Now().Add(probeInterval)); err != nil {
			return nil, err
		}
		other, err := listenFor(socket, judge)
		if other != nil || err != nil {
			return other, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, nil
}

func listenFor(socket *packetSocket, judge func([]byte, net.HardwareAddr) net.HardwareAddr) (net.HardwareAddr, error) {
	for {
		packet, from, err := socket.receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("probe the address: %w", err)
		}
		if other := judge(packet, from); other != nil {
			return other, nil
		}
	}
}

// probe asks by ARP who has an address (RFC 5227).
func (c *client4) probe(ctx context.Context, ip net.IP) (net.HardwareAddr, error) {
	return probeWith(ctx, c.arp, arpProbe(c.wire.mac, ip), broadcastMAC(), func(packet []byte, _ net.HardwareAddr) net.HardwareAddr {
		return arpConflict(packet, c.wire.mac, ip)
	})
}

const (
	arpRequest = 1
	arpLength  = 28
)

// arpProbe is a request for an address on behalf of nobody.
func arpProbe(mac net.HardwareAddr, ip net.IP) []byte {
	packet := []byte{0, 1, 8, 0, 6, 4, 0, arpRequest}
	packet = append(packet, mac...)
	packet = append(packet, 0, 0, 0, 0)
	packet = append(packet, 0, 0, 0, 0, 0, 0)
	return append(packet, ip.To4()...)
}

// arpConflict returns who uses the address, or is about to, according to a
// packet.
func arpConflict(packet []byte, own net.HardwareAddr, ip net.IP) net.HardwareAddr {
	if len(packet) < arpLength || binary.BigEndian.Uint16(packet[2:]) != unix.ETH_P_IP {
		return nil
	}
	sender := net.HardwareAddr(bytes.Clone(packet[8:14]))
	if bytes.Equal(sender, own) {
		return nil
	}
	uses := net.IP(packet[14:18]).Equal(ip)
	probes := binary.BigEndian.Uint16(packet[6:]) == arpRequest && net.IP(packet[14:18]).Equal(net.IPv4zero) && net.IP(packet[24:28]).Equal(ip)
	if uses || probes {
		return sender
	}
	return nil
}

// everything is a filter that keeps nothing out.
func everything() []bpf.Instruction { return []bpf.Instruction{bpf.RetConstant{Val: 1 << 16}} }
