// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
)

// Packets are the frames a link has sent and received since Capture.
type Packets struct {
	ifname string
	socket int
	unread []Frame // received, and not yet returned by Wait
}

// Capture begins to listen on a link of netns, or of the current namespace when
// that is nil. The kernel keeps what passes until Wait asks for it, so frames
// between the two are not lost. The caller closes the Packets.
func Capture(netns ns.NetNS, ifname string) (*Packets, error) {
	socket, err := in(netns, func() (int, error) { return listen(ifname) })
	if err != nil {
		return nil, fmt.Errorf("capture on %s: %w", ifname, err)
	}
	return &Packets{ifname: ifname, socket: socket}, nil
}

// SendFrame sends an Ethernet frame through a link of netns, or of the current
// namespace when that is nil. It is an error if the link is not up: the kernel
// would drop the frame and say nothing. A link that has just been set up takes
// a moment to be, so there Eventually is of use.
func SendFrame(netns ns.NetNS, ifname string, frame []byte) error {
	_, err := in(netns, func() (int, error) { return 0, send(ifname, frame) })
	if err != nil {
		return fmt.Errorf("send on %s: %w", ifname, err)
	}
	return nil
}

// Wait returns the first frame that matches (any frame, when match is nil) and
// that it has not returned before. When there is none within the timeout, the
// error lists what else there was; it wraps os.ErrDeadlineExceeded.
func (p *Packets) Wait(timeout time.Duration, match func(Frame) bool) (Frame, error) {
	deadline := time.Now().Add(timeout)
	for {
		if frame, found := p.take(match); found {
			return frame, nil
		}
		if err := p.receive(deadline); err != nil {
			return Frame{}, fmt.Errorf("wait %v for a frame on %s: %w%s", timeout, p.ifname, err, p.others())
		}
	}
}

// Close stops the capture.
func (p *Packets) Close() error { return unix.Close(p.socket) }

// take returns the first unread frame that matches. Those it has to look at
// again and again are few.
func (p *Packets) take(match func(Frame) bool) (Frame, bool) {
	at := slices.IndexFunc(p.unread, func(frame Frame) bool { return match == nil || match(frame) })
	if at < 0 {
		return Frame{}, false
	}
	frame := p.unread[at]
	p.unread = slices.Delete(p.unread, at, at+1)
	return frame, true
}

func (p *Packets) others() string {
	var text strings.Builder
	for _, frame := range p.unread {
		fmt.Fprintf(&text, "\n\t%s", frame)
	}
	return text.String()
}

// receive waits for a frame and adds it to the unread ones.
func (p *Packets) receive(deadline time.Time) error {
	for {
		if err := readable(p.socket, deadline); err != nil {
			return err
		}
		data, control := make([]byte, 1<<16), make([]byte, 256)
		n, c, _, from, err := unix.Recvmsg(p.socket, data, control, 0)
		switch {
		case errors.Is(err, unix.ENETDOWN): // said once when the link goes down; it may come back
			continue
		case err != nil:
			return os.NewSyscallError("recvmsg", err)
		}
		p.unread = append(p.unread, newFrame(data[:n], control[:c], from))
		return nil
	}
}

// newFrame puts the VLAN tag back which the kernel took out of the data.
func newFrame(data, control []byte, from unix.Sockaddr) Frame {
	link, _ := from.(*unix.SockaddrLinklayer)
	frame := Frame{Data: bytes.Clone(data), Outgoing: link != nil && link.Pkttype == unix.PACKET_OUTGOING}
	if tag := strippedTag(control); tag != nil && len(data) >= 12 {
		frame.Data = slices.Insert(frame.Data, 12, tag...)
	}
	return frame
}

// strippedTag finds the VLAN tag in the control message that goes with a frame,
// a struct tpacket_auxdata of linux/if_packet.h.
func strippedTag(control []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for _, message := range messages {
		aux := message.Data
		if message.Header.Level != unix.SOL_PACKET || message.Header.Type != unix.PACKET_AUXDATA || len(aux) < 20 {
			continue
		}
		status, tci, tpid := binary.NativeEndian.Uint32(aux), binary.NativeEndian.Uint16(aux[16:]), binary.NativeEndian.Uint16(aux[18:])
		if status&unix.TP_STATUS_VLAN_VALID == 0 {
			continue
		}
		if status&unix.TP_STATUS_VLAN_TPID_VALID == 0 {
			tpid = tpid8021Q
		}
		return appendTag(nil, tpid, tci)
	}
	return nil
}

// listen opens a packet socket bound to a link. Until it is bound it receives
// nothing, so it never holds a frame of another link.
func listen(ifname string) (int, error) {
	link, err := net.InterfaceByName(ifname)
	if err != nil {
		return 0, err
	}
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if err := prepare(socket, link.Index); err != nil {
		unix.Close(socket)
		return 0, err
	}
	return socket, nil
}

func prepare(socket, index int) error {
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := unix.SetsockoptInt(socket, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	everything := &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index}
	return os.NewSyscallError("bind", unix.Bind(socket, everything))
}

func send(ifname string, frame []byte) error {
	link, err := netlinksafe.LinkByName(ifname)
	if err != nil {
		return err
	}
	if state := link.Attrs().OperState; state != netlink.OperUp && state != netlink.OperUnknown {
		return fmt.Errorf("the link is %s, not up", state)
	}
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(socket)
	to := &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}
	return os.NewSyscallError("sendto", unix.Sendto(socket, frame, 0, to))
}

func networkOrder(value uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, value))
}

// in calls fn in netns, or right here when that is nil.
func in[T any](netns ns.NetNS, fn func() (T, error)) (T, error) {
	if netns == nil {
		return fn()
	}
	return ns.Call(netns, fn)
}
