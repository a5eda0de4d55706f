// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Batch sends messages that change something to the kernel with one system
// call: a process that is killed has sent all of them or none. It returns the
// kernel's answer to each. A message is taken even if one before it was refused.
//
// Only the last one is acknowledged; to the others, the kernel answers if it
// refuses them. Hundreds of acknowledgements would not fit into the socket.
func Batch(requests ...*nl.NetlinkRequest) ([]error, error) {
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	defer socket.Close()
	var data []byte
	places := map[uint32]int{}
	for i, request := range requests {
		places[request.Seq] = i
		if i < len(requests)-1 {
			request.Flags &^= unix.NLM_F_ACK
		}
		data = append(data, request.Serialize()...)
	}
	if len(data) > 1<<16 { // what does not fit is refused; the privilege for the rest allows this, too
		_ = unix.SetsockoptInt(socket.GetFd(), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 2*len(data))
	}
	if err := unix.Sendto(socket.GetFd(), data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	return answers(socket, places)
}

// answers reads what the kernel says to the messages with the sequence numbers
// in places, until it has come to the last one.
func answers(socket *nl.NetlinkSocket, places map[uint32]int) ([]error, error) {
	errs := make([]error, len(places))
	for {
		messages, _, err := socket.Receive()
		if err != nil {
			return nil, err
		}
		for _, message := range messages {
			i, ours := places[message.Header.Seq]
			if !ours || message.Header.Type != unix.NLMSG_ERROR {
				continue
			}
			if code := int32(nl.NativeEndian().Uint32(message.Data)); code != 0 {
				errs[i] = unix.Errno(-code)
			}
			if i == len(errs)-1 {
				return errs, nil
			}
		}
	}
}
