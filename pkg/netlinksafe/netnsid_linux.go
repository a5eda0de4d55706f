// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/nlattr"
)

// NetnsID returns the number by which the current network namespace knows another, of
// which fd is a descriptor: what the netlink library has in LinkAttrs.NetNsID. It is -1
// as long as it has none.
func NetnsID(fd int) (int, error) {
	header := nl.NewRtGenMsg()
	request := nl.NewNetlinkRequest(unix.RTM_GETNSID, 0)
	request.AddData(header)
	request.AddData(nl.NewRtAttr(unix.NETNSA_FD, nl.Uint32Attr(uint32(fd))))
	answer, err := Execute(request)
	if err != nil {
		return 0, fmt.Errorf("get the number of a network namespace: %w", err)
	}
	for _, message := range answer {
		if len(message) < header.Len() {
			continue
		}
		if number := nlattr.Attributes(message[header.Len():]).Get(unix.NETNSA_NSID); len(number) == 4 {
			return int(int32(binary.NativeEndian.Uint32(number))), nil
		}
	}
	return 0, errors.New("get the number of a network namespace: an answer without one")
}
