// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"errors"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// LinkList lists all links of the current namespace. It can read what the netlink
// library cannot: a link may have 64 KB of alternative names, which whoever was
// lent an interface can give it.
func LinkList() ([]netlink.Link, error) { return retry("links", linkList) }

// linkList is the library's, but for the buffer.
func linkList() ([]netlink.Link, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(nl.RTEXT_FILTER_VF)))
	messages, dumpErr := Execute(request)
	if dumpErr != nil && !errors.Is(dumpErr, netlink.ErrDumpInterrupted) {
		return nil, dumpErr
	}
	var links []netlink.Link
	for _, message := range messages {
		l, err := netlink.LinkDeserialize(nil, message)
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	return links, dumpErr
}
