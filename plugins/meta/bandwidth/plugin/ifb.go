// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"cmp"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Names of IFB devices have 15 bytes.
const (
	egressPrefix  = "bwp"
	ingressPrefix = "bwi"
	nameLength    = 15
)

// upstreamName is what upstream calls the device of a container in a network,
// whatever the interface.
func upstreamName(owner plugin.Owner) string {
	sum := sha512.Sum512([]byte(owner.Network + owner.ContainerID))
	return egressPrefix + hex.EncodeToString(sum[:])[:nameLength-len(egressPrefix)]
}

// egressNames are the names that an attachment's device for what the container
// sends may have. The second one is for a second interface in a network.
func egressNames(owner plugin.Owner) []string {
	return []string{upstreamName(owner), owner.Name(egressPrefix, nameLength)}
}

// ingressName is the name of the device for what the container receives. There
// is one if only a part of the traffic is shaped.
func ingressName(owner plugin.Owner) string { return owner.Name(ingressPrefix, nameLength) }

// createIFB creates a device that is up and says whose it is, under the first of
// the names that is free, and pushes its removal. Its queue is empty, as
// upstream's: the kernel would give it a shared one for each processor.
func createIFB(req *plugin.Request, mtu int, names ...string) (netlink.Link, error) {
	var err error
	for _, name := range names {
		if err = requestIFB(name, mtu, req.Owner().Comment()); err == nil {
			req.Undo.Push("device "+name, func() error { return link.Delete(name) })
			return link.Find(name)
		}
		if !errors.Is(err, unix.EEXIST) {
			break
		}
	}
	return nil, err
}

// requestIFB creates a device and marks it, in one go.
func requestIFB(name string, mtu int, alias string) error {
	if _, err := link.Find(name); err == nil { // must not be marked
		return &link.ExistsError{Name: name}
	}
	create := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	create.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	create.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	create.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, link.RandomMAC()))
	create.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(mtu))))
	create.AddData(nl.NewRtAttr(unix.IFLA_TXQLEN, nl.Uint32Attr(0)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("ifb"))
	create.AddData(info)

	mark := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Flags, message.Change = unix.IFF_UP, unix.IFF_UP
	mark.AddData(message)
	mark.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	mark.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))

	answers, err := link.Batch(create, mark)
	if err == nil {
		err = cmp.Or(answers...)
	}
	if err != nil {
		return fmt.Errorf("create the device %s of kind ifb: %w", name, err)
	}
	return nil
}

// ownIFBs returns the devices of an attachment. One without a mark is upstream's,
// and the attachment's unless that has one with a mark.
func ownIFBs(owner plugin.Owner) ([]netlink.Link, error) {
	var marked, unmarked []netlink.Link
	var errs []error
	for _, name := range append(egressNames(owner), ingressName(owner)) {
		l, err := link.Find(name)
		switch {
		case errors.Is(err, link.ErrNotFound):
		case err != nil:
			errs = append(errs, err)
		case l.Type() != "ifb":
		case l.Attrs().Alias == owner.Comment():
			marked = append(marked, l)
		case l.Attrs().Alias == "" && name == upstreamName(owner):
			unmarked = append(unmarked, l)
		}
	}
	if marked == nil {
		return unmarked, errors.Join(errs...)
	}
	return marked, errors.Join(errs...)
}

// staleIFBs returns the devices of attachments that are no longer valid. Those of
// upstream do not say which network they are of.
func staleIFBs(valid plugin.Attachments) ([]netlink.Link, error) {
	links, err := netlinksafe.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the links: %w", err)
	}
	var stale []netlink.Link
	for _, l := range links {
		named := strings.HasPrefix(l.Attrs().Name, egressPrefix) || strings.HasPrefix(l.Attrs().Name, ingressPrefix)
		if named && l.Type() == "ifb" && valid.StaleComment(l.Attrs().Alias) {
			stale = append(stale, l)
		}
	}
	return stale, nil
}
