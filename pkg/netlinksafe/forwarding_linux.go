// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"errors"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/nlattr"
)

// Numbers of linux/netconf.h.
const (
	netconfIfIndex    = 1
	netconfForwarding = 2
	netconfAll        = -1 // as an interface's index
)

// Forwards tells whether the kernel forwards packets of a family, such as
// netlink.FAMILY_V4, in the current network namespace (Linux 3.8). /proc/sys
// tells it too, but a path that begins with /proc/sys/net takes the longer to
// walk the more network namespaces there are.
func Forwards(family int) (bool, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNETCONF, 0)
	request.AddData(netconfMessage(family))
	all := int32(netconfAll)
	request.AddData(nl.NewRtAttr(netconfIfIndex, nl.Uint32Attr(uint32(all))))
	answer, err := Execute(request)
	if err != nil {
		return false, err
	}
	for _, message := range answer {
		if len(message) < unix.NLMSG_ALIGNTO {
			continue
		}
		if value := nlattr.Attributes(message[unix.NLMSG_ALIGNTO:]).Get(netconfForwarding); len(value) == 4 {
			return nlattr.Number(value) != 0, nil
		}
	}
	return false, errors.New("the kernel does not say whether it forwards packets")
}

// netconfMessage is a netconfmsg, which holds the family and nothing else.
type netconfMessage byte

// Len implements nl.NetlinkRequestData.
func (netconfMessage) Len() int { return unix.NLMSG_ALIGNTO }

// Serialize implements nl.NetlinkRequestData.
func (m netconfMessage) Serialize() []byte { return []byte{byte(m), 0, 0, 0} }
