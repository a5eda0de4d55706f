// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// Batch sends messages that change something to the kernel with one system
// call: a process that is killed has sent all of them or none. It returns the
// kernel's answer to each. A message is taken even if one before it was refused.
//
// Only the last one is acknowledged; to the others, the kernel answers if it
// refuses them. Hundreds of acknowledgements would not fit into the socket.
func Batch(requests ...*nl.NetlinkRequest) ([]error, error) {
	conn, err := netlinksafe.Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	places := map[uint32]int{}
	for i, request := range requests {
		places[request.Seq] = i
		if i < len(requests)-1 {
			request.Flags &^= unix.NLM_F_ACK
		}
	}
	if err := conn.Send(requests...); err != nil {
		return nil, err
	}
	return answers(conn, places)
}

// answers reads what the kernel says to the messages with the sequence numbers
// in places, until it has come to the last one.
func answers(conn *netlinksafe.Conn, places map[uint32]int) ([]error, error) {
	errs := make([]error, len(places))
	for {
		messages, err := conn.Receive()
		if err != nil {
			return nil, err
		}
		for _, message := range messages {
			i, ours := places[message.Header.Seq]
			if !ours || message.Header.Type != unix.NLMSG_ERROR {
				continue
			}
			errs[i] = netlinksafe.Refusal(message)
			if i == len(errs)-1 {
				return errs, nil
			}
		}
	}
}
