// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// SetVLANFiltering switches VLAN filtering on or off for the bridge with the
// given index. The message says nothing else: netlink.BridgeSetVlanFiltering repeats
// the bridge's name, which the kernel refuses on a bridge that is up.
func SetVLANFiltering(index int, on bool) error {
	return changeBridge(index, nl.IFLA_BR_VLAN_FILTERING, boolByte(on))
}

// StopLinkLocalLearning keeps the bridge with the given index from learning where a
// MAC address is by frames to link-local multicast addresses (Linux 4.20).
func StopLinkLocalLearning(index int) error {
	return changeBridge(index, unix.IFLA_BR_MULTI_BOOLOPT, slices.Concat(nl.Uint32Attr(noLinkLocalLearning), nl.Uint32Attr(noLinkLocalLearning)))
}

// changeBridge changes one setting of a bridge.
func changeBridge(index, setting int, value []byte) error {
	request, _ := change(index)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(setting, value)
	request.AddData(info)
	_, err := netlinksafe.Execute(request)
	return err
}
