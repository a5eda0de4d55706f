// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// SetVLANFiltering switches VLAN filtering on or off for the bridge with the
// given index. The message says nothing else: netlink.BridgeSetVlanFiltering repeats
// the bridge's name, which the kernel refuses on a bridge that is up.
func SetVLANFiltering(index int, on bool) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	request.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_BR_VLAN_FILTERING, boolByte(on))
	request.AddData(info)
	_, err := netlinksafe.Execute(request)
	return err
}
