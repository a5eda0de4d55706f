// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// Supported returns an error if the kernel cannot make links of a kind, such as
// "macvlan", and has no module for it that it could load.
//
// The kernel is asked for a link that no kind is content with, one without a
// parent and with a MAC address of one byte: it looks for the kind, as for a real
// one, and makes nothing.
func Supported(kind string) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, []byte{0}))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(kind))
	request.AddData(info)
	_, err := netlinksafe.Execute(request)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("this kernel has no %s links; %s: %w", kind, moduleHint(kind), err)
	}
	return nil
}

// moduleHint tells what a kernel needs to make links of a kind.
func moduleHint(kind string) string {
	module, option := kind, strings.ToUpper(kind)
	switch kind {
	case "vlan":
		module, option = "8021q", "VLAN_8021Q"
	case "vrf":
		option = "NET_VRF"
	}
	return fmt.Sprintf("load the module %s (CONFIG_%s)", module, option)
}
