// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attach enslaves the link with the given index to master (0: leaves it as it
// is), gives it the alias (empty: likewise) and sets it up, all in one message.
func Attach(index, master int, alias string) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	message.Flags, message.Change = unix.IFF_UP, unix.IFF_UP
	request.AddData(message)
	if master != 0 {
		request.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(master))))
	}
	if alias != "" {
		request.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
	}
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// SetBridgePort sets two properties of the bridge port with the given index, in
// one message: a hairpin port sends frames back where they came from, an
// isolated one (Linux 4.18) reaches only ports that are not.
func SetBridgePort(index int, hairpin, isolated bool) error {
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_BRIDGE)
	message.Index = int32(index)
	request.AddData(message)
	port := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	port.AddRtAttr(nl.IFLA_BRPORT_MODE, boolByte(hairpin))
	port.AddRtAttr(nl.IFLA_BRPORT_ISOLATED, boolByte(isolated))
	request.AddData(port)
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func boolByte(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}
