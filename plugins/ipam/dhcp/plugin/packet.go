// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"encoding/binary"
	"net"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/packetsocket"
)

const (
	ipHeader  = 20
	udpHeader = 8

	// maxMessage is how long a DHCP message may be.
	maxMessage = 1500

	clientPort = 68
	serverPort = 67

	ipTTL = 64
)

// openFiltered opens a socket for an ETH_P_... on the link with the index, in the
// network namespace of the calling thread.
func openFiltered(index int, protocol uint16, filter []bpf.Instruction) (*packetsocket.Socket, error) {
	program, err := bpf.Assemble(filter)
	if err != nil {
		return nil, err
	}
	return packetsocket.Open(index, protocol, program)
}

// dhcpFilter accepts unfragmented UDP datagrams to the port of DHCP clients
// whose message is for an interface with this hardware address: a busy
// container costs the daemon nothing.
func dhcpFilter(mac net.HardwareAddr) []bpf.Instruction {
	const chaddr = 28
	drop := func(after int) uint8 { return uint8(11 - after) }
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 9, Size: 1}, // protocol
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipFalse: drop(1)},
		bpf.LoadAbsolute{Off: 6, Size: 2}, // fragment offset
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: drop(3)},
		bpf.LoadMemShift{Off: 0},          // X = length of the IP header
		bpf.LoadIndirect{Off: 2, Size: 2}, // destination port
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: clientPort, SkipFalse: drop(6)},
		bpf.LoadIndirect{Off: udpHeader + chaddr, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(mac), SkipFalse: drop(8)},
		bpf.LoadIndirect{Off: udpHeader + chaddr + 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(binary.BigEndian.Uint16(mac[4:])), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1 << 16},
	}
}

// udpPacket is a UDP datagram of DHCPv4.
type udpPacket struct {
	src, dst net.IP
	payload  []byte
}

// marshal returns the IP packet of a datagram from a client to a server.
func (p udpPacket) marshal() []byte {
	total := ipHeader + udpHeader + len(p.payload)
	packet := make([]byte, ipHeader+udpHeader, total)
	packet[0] = 4<<4 | ipHeader/4
	packet[1] = 0xc0 // network control, as other clients have it
	binary.BigEndian.PutUint16(packet[2:], uint16(total))
	packet[8], packet[9] = ipTTL, unix.IPPROTO_UDP
	copy(packet[12:16], p.src.To4())
	copy(packet[16:20], p.dst.To4())
	binary.BigEndian.PutUint16(packet[10:], ^onesSum(0, packet[:ipHeader]))

	udp := packet[ipHeader:]
	binary.BigEndian.PutUint16(udp, clientPort)
	binary.BigEndian.PutUint16(udp[2:], serverPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(udpHeader+len(p.payload)))
	packet = append(packet, p.payload...)
	pseudo := unix.IPPROTO_UDP + uint32(udpHeader+len(p.payload)) + uint32(onesSum(0, packet[12:20]))
	sum := ^onesSum(pseudo, packet[ipHeader:])
	if sum == 0 {
		sum = 0xffff // 0 would say that there is none
	}
	binary.BigEndian.PutUint16(packet[ipHeader+6:], sum)
	return packet
}

// parseUDP is the reverse of marshal for what dhcpFilter let through. It does
// not look at the checksum: a sender on the same machine leaves it out.
func parseUDP(packet []byte) (udpPacket, bool) {
	if len(packet) < ipHeader || packet[0]>>4 != 4 {
		return udpPacket{}, false
	}
	header := int(packet[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(packet[2:]))
	if header < ipHeader || total < header+udpHeader || total > len(packet) {
		return udpPacket{}, false
	}
	udp := packet[header:total]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if length < udpHeader || length > len(udp) {
		return udpPacket{}, false
	}
	return udpPacket{src: net.IP(packet[12:16]), dst: net.IP(packet[16:20]), payload: udp[udpHeader:length]}, true
}

// onesSum adds 16-bit words in ones' complement (RFC 1071).
func onesSum(sum uint32, data []byte) uint16 {
	for ; len(data) > 1; data = data[2:] {
		sum += uint32(binary.BigEndian.Uint16(data))
	}
	if len(data) == 1 {
		sum += uint32(data[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
