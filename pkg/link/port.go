// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/nlattr"
)

// Own gives the link with the given index an alias and sets it up, both in one
// message.
func Own(index int, alias string) error {
	_, err := netlinksafe.Execute(owning(index, alias))
	return err
}

func owning(index int, alias string) *nl.NetlinkRequest {
	request, message := change(index)
	message.Flags, message.Change = unix.IFF_UP, unix.IFF_UP
	request.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
	return request
}

// Port is what a link is to be like as a port of a bridge.
type Port struct {
	Bridge   int    // index of the bridge
	Alias    string // of the link
	Hairpin  bool   // frames may go back where they came from
	Isolated bool   // it reaches only ports that are not (Linux 4.18)
}

// Join makes the link with the given index a port of a bridge and sets it up,
// with one system call.
//
// A port gets no link-local address: the bridge takes all that comes in, so
// nothing is ever received there, and the kernel would solicit routers and look
// for duplicates among the containers in the name of the port.
func Join(index int, port Port) error {
	attach := owning(index, port.Alias)
	attach.AddData(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(port.Bridge))))
	return Apply(
		Change{Request: noLinkLocal(index), Optional: true}, // the kernel may have no IPv6
		Change{Request: attach, What: "attach it"},
		Change{Request: bridgePort(index, port), What: "configure it"},
	)
}

// PortOf returns what the link with the given index is like as a port of a
// bridge. What the netlink library has for that lists all ports of all bridges.
func PortOf(index int) (Port, error) {
	message, err := ask(index)
	if err != nil {
		return Port{}, err
	}
	l, err := netlink.LinkDeserialize(nil, message)
	if err != nil {
		return Port{}, err
	}
	if unix.ByteSliceToString(attribute(message, unix.IFLA_LINKINFO, nl.IFLA_INFO_SLAVE_KIND)) != "bridge" {
		return Port{}, fmt.Errorf("%s is no port of a bridge", l.Attrs().Name)
	}
	isOn := func(setting uint16) bool {
		return nlattr.Number(attribute(message, unix.IFLA_LINKINFO, nl.IFLA_INFO_SLAVE_DATA, setting)) != 0
	}
	return Port{
		Bridge: l.Attrs().MasterIndex, Alias: l.Attrs().Alias,
		Hairpin: isOn(nl.IFLA_BRPORT_MODE), Isolated: isOn(nl.IFLA_BRPORT_ISOLATED),
	}, nil
}

// noLinkLocal has the kernel generate no IPv6 addresses for a link
// (Linux 3.17).
func noLinkLocal(index int) *nl.NetlinkRequest {
	request, _ := change(index)
	families := nl.NewRtAttr(unix.IFLA_AF_SPEC|unix.NLA_F_NESTED, nil)
	families.AddRtAttr(unix.AF_INET6|unix.NLA_F_NESTED, nil).AddRtAttr(unix.IFLA_INET6_ADDR_GEN_MODE, []byte{nl.IN6_ADDR_GEN_MODE_NONE})
	request.AddData(families)
	return request
}

func bridgePort(index int, port Port) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_BRIDGE)
	message.Index = int32(index)
	request.AddData(message)
	info := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	info.AddRtAttr(nl.IFLA_BRPORT_MODE, boolByte(port.Hairpin))
	info.AddRtAttr(nl.IFLA_BRPORT_ISOLATED, boolByte(port.Isolated))
	request.AddData(info)
	return request
}

// change is a message that changes the link with the given index.
func change(index int) (*nl.NetlinkRequest, *nl.IfInfomsg) {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	return request, message
}

func boolByte(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}
