// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"bytes"
	"net"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/testrig"
)

// etherType of the frames of these tests: "local experimental".
const etherType = 0x88b5

// hearsItself tells whether a broadcast frame that c sends comes back to it.
func hearsItself(c *testrig.Container) bool {
	heard := false
	c.Do(func() {
		iface, err := net.InterfaceByName(c.IfName)
		Expect(err).NotTo(HaveOccurred())
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(etherType)))
		Expect(err).NotTo(HaveOccurred())
		defer unix.Close(fd)
		address := &unix.SockaddrLinklayer{Protocol: htons(etherType), Ifindex: iface.Index}
		Expect(unix.Bind(fd, address)).To(Succeed())
		frame := broadcast(iface.HardwareAddr)
		Expect(unix.Sendto(fd, frame, 0, address)).To(Succeed())
		heard = receives(fd, frame)
	})
	return heard
}

func broadcast(from net.HardwareAddr) []byte {
	frame := bytes.Repeat([]byte{0xff}, 6)
	frame = append(frame, from...)
	frame = append(frame, etherType>>8, etherType&0xff)
	return append(frame, make([]byte, 46)...)
}

// receives tells whether the frame comes in within a moment; what the socket
// sent itself does not count.
func receives(fd int, frame []byte) bool {
	limit := unix.NsecToTimeval((300 * time.Millisecond).Nanoseconds())
	Expect(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)).To(Succeed())
	buffer := make([]byte, 2000)
	for {
		n, from, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return false
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING && bytes.Equal(buffer[:n], frame) {
			return true
		}
	}
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
