// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/nlattr"
)

// Netns is an open network namespace; an ns.NetNS is one.
type Netns interface{ Fd() uintptr }

// ExistsError says that the name a link was to get is taken. It matches
// unix.EEXIST.
type ExistsError struct {
	Name        string
	InContainer bool
}

func (e *ExistsError) Error() string {
	where := "on the host"
	if e.InContainer {
		where = "in the container"
	}
	return fmt.Sprintf("interface %q already exists %s", e.Name, where)
}

// Unwrap returns unix.EEXIST.
func (e *ExistsError) Unwrap() error { return unix.EEXIST }

// VethSpec describes a veth pair to create. At least one end is in the network
// namespace of the calling thread.
type VethSpec struct {
	Host      VethEnd
	Container VethEnd
	MTU       int // of both ends; 0 leaves it to the kernel
}

// VethEnd describes one end of a veth pair.
type VethEnd struct {
	Name  string
	MAC   net.HardwareAddr // nil: a random one, see RandomMAC
	Netns Netns            // nil: that of the calling thread
}

// CreateVeth creates a veth pair with one message: each end appears in its
// namespace, under its final name, with its MAC address and MTU. It returns
// both ends as the kernel made them, in the normal case without asking for
// them. A name that is taken is an *ExistsError.
//
// Each end has one queue, and can have no more. Without being told, the kernel
// makes as many as there can be processors and takes away all but one, for
// which it waits until nobody can be using them.
func CreateVeth(spec VethSpec) (host, container netlink.Link, err error) {
	for _, end := range []*VethEnd{&spec.Host, &spec.Container} {
		if end.MAC == nil {
			end.MAC = RandomMAC()
		}
	}
	// The kernel answers for the end that is here.
	near, far := spec.Host, spec.Container
	if near.Netns != nil {
		near, far = far, near
	}
	if near.Netns != nil {
		return nil, nil, errors.New("create a veth pair: both ends are in another namespace, one has to be in the current one")
	}
	nearLink, farLink, err := createPair(near, far, spec.MTU)
	if err != nil {
		return nil, nil, describeVethError(spec, err)
	}
	if spec.Host.Netns != nil {
		return farLink, nearLink, nil
	}
	return nearLink, farLink, nil
}

// createPair creates the pair and returns its ends. Linux 6.2 and newer send
// the new link back to who asked for an echo; older kernels are asked for it.
func createPair(near, far VethEnd, mtu int) (netlink.Link, netlink.Link, error) {
	echo, err := netlinksafe.Execute(vethRequest(near, far, mtu))
	if err != nil {
		return nil, nil, err
	}
	if nearLink, farLink := pairFromEcho(echo, near, far); nearLink != nil {
		return nearLink, farLink, nil
	}
	return findPair(near, far)
}

// pairFromEcho makes the pair out of what the kernel sent back: the new link
// with the index of its peer. The other properties of both are those they were given,
// and the MTU, which both have, be it the asked one or the kernel's.
func pairFromEcho(echo [][]byte, near, far VethEnd) (netlink.Link, netlink.Link) {
	if len(echo) != 1 || len(echo[0]) < unix.SizeofIfInfomsg {
		return nil, nil
	}
	index, peer := int(headerOf(echo[0]).Index), nlattr.Number(attribute(echo[0], unix.IFLA_LINK))
	if peer == 0 {
		return nil, nil
	}
	return near.link(index, peer, echo[0]), far.link(peer, index, echo[0])
}

// link describes an end of a new pair, of one of whose ends the kernel sent message.
func (e VethEnd) link(index, peer int, message []byte) netlink.Link {
	attrs := netlink.NewLinkAttrs()
	attrs.Index = index
	attrs.Name = e.Name
	attrs.HardwareAddr = e.MAC
	attrs.MTU = nlattr.Number(attribute(message, unix.IFLA_MTU))
	attrs.ParentIndex = peer
	return &netlink.Veth{LinkAttrs: attrs}
}

func findPair(near, far VethEnd) (netlink.Link, netlink.Link, error) {
	nearLink, err := Find(near.Name)
	if err != nil {
		return nil, nil, err
	}
	farLink, err := findIn(far.Netns, far.Name)
	return nearLink, farLink, err
}

func vethRequest(near, far VethEnd, mtu int) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK|unix.NLM_F_ECHO)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	for _, attr := range near.attributes(mtu) {
		request.AddData(attr)
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC)
	for _, attr := range far.attributes(mtu) {
		peer.AddChild(attr)
	}
	request.AddData(info)
	return request
}

func (e VethEnd) attributes(mtu int) []*nl.RtAttr {
	attrs := []*nl.RtAttr{
		nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(e.Name)),
		nl.NewRtAttr(unix.IFLA_ADDRESS, e.MAC),
		nl.NewRtAttr(unix.IFLA_NUM_TX_QUEUES, nl.Uint32Attr(1)),
		nl.NewRtAttr(unix.IFLA_NUM_RX_QUEUES, nl.Uint32Attr(1)),
	}
	if mtu != 0 {
		attrs = append(attrs, nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(mtu))))
	}
	if e.Netns != nil {
		attrs = append(attrs, nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(e.Netns.Fd()))))
	}
	return attrs
}

// describeVethError finds out which of the two names is taken, if that is what
// is wrong: the kernel does not say.
func describeVethError(spec VethSpec, err error) error {
	if errors.Is(err, unix.EEXIST) {
		if _, findErr := findIn(spec.Container.Netns, spec.Container.Name); findErr == nil {
			return &ExistsError{spec.Container.Name, true}
		}
		if _, findErr := findIn(spec.Host.Netns, spec.Host.Name); findErr == nil {
			return &ExistsError{spec.Host.Name, false}
		}
	}
	return fmt.Errorf("create the veth pair %s (host) and %s (container): %w", spec.Host.Name, spec.Container.Name, err)
}

// findIn is Find in another namespace; nil stands for the current one.
func findIn(at Netns, name string) (netlink.Link, error) {
	if at == nil {
		return Find(name)
	}
	handle, err := handleIn(at)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	found, err := handle.LinkByName(name)
	return found, describeError(fmt.Sprintf("%q", name), err)
}

// handleIn opens a netlink socket in another namespace, for which the calling
// thread visits it for a moment.
func handleIn(at Netns) (netlinksafe.Handle, error) {
	handle, err := netlinksafe.NewHandleAt(netns.NsHandle(at.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return handle, fmt.Errorf("open a netlink socket in the container's namespace: %w", err)
	}
	return handle, nil
}
