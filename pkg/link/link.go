// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/nlattr"
)

// ErrNotFound is matched (errors.Is) by the errors of this package that mean
// that there is no such link.
var ErrNotFound = errors.New("link not found")

// IsNotFound tells whether err, from this package or from netlink, means that a
// link does not exist, or ceased to exist while it was worked on.
func IsNotFound(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.Is(err, ErrNotFound) || errors.As(err, &notFound) || errors.Is(err, unix.ENODEV)
}

// notFoundError is ErrNotFound with the link that was asked for.
type notFoundError struct{ what string }

func (e notFoundError) Error() string { return "link " + e.what + ": not found" }

func (notFoundError) Is(target error) bool { return target == ErrNotFound }

// Find returns the link called name.
func Find(name string) (netlink.Link, error) {
	message, err := messageOf(name)
	if err != nil {
		return nil, err
	}
	return netlink.LinkDeserialize(nil, message)
}

// FindWithDetails is Find, and returns what else the kernel says, too.
func FindWithDetails(name string) (netlink.Link, Details, error) {
	message, err := messageOf(name)
	if err != nil {
		return nil, nil, err
	}
	found, err := netlink.LinkDeserialize(nil, message)
	return found, message[unix.SizeofIfInfomsg:], err
}

// messageOf returns the kernel's message about the link called name.
func messageOf(name string) ([]byte, error) {
	attribute := nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name))
	if len(name) >= unix.IFNAMSIZ {
		attribute.Type = unix.IFLA_ALT_IFNAME
	}
	message, err := ask(0, attribute)
	if errors.Is(err, unix.EINVAL) { // a kernel that finds links by index only
		var found netlink.Link
		if found, err = netlinksafe.LinkByName(name); err == nil {
			message, err = ask(found.Attrs().Index)
		}
	}
	return message, describeError(fmt.Sprintf("%q", name), err)
}

// FindByIndex returns the link with the given index.
func FindByIndex(index int) (netlink.Link, error) {
	found, err := get(index)
	return found, describeError(fmt.Sprintf("#%d", index), err)
}

// OtherEnd returns the other end of a veth, in whatever network namespace that is.
// Before Linux 4.15 one in another namespace is not found.
func OtherEnd(veth netlink.Link) (netlink.Link, error) {
	attrs := veth.Attrs()
	var where []*nl.RtAttr
	if attrs.NetNsID >= 0 {
		where = append(where, nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(uint32(attrs.NetNsID))))
	}
	found, err := get(attrs.ParentIndex, where...)
	if attrs.ParentIndex == 0 || err == nil && found.Attrs().ParentIndex != attrs.Index { // an old kernel looked here
		err = ErrNotFound
	}
	if err != nil {
		return nil, describeError("at the other end of "+attrs.Name, err)
	}
	return found, nil
}

// skipStatistics (RTEXT_FILTER_SKIP_STATS) leaves counters out of an answer,
// which take longer than everything else in it.
const skipStatistics = 1 << 3

// get returns one link.
func get(index int, attributes ...*nl.RtAttr) (netlink.Link, error) {
	message, err := ask(index, attributes...)
	if err != nil {
		return nil, err
	}
	return netlink.LinkDeserialize(nil, message)
}

// ask returns the kernel's message about one link.
func ask(index int, attributes ...*nl.RtAttr) ([]byte, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStatistics)))
	for _, attribute := range attributes {
		request.AddData(attribute)
	}
	answer, err := netlinksafe.Execute(request)
	if err != nil {
		return nil, err
	}
	if len(answer) != 1 || len(answer[0]) < unix.SizeofIfInfomsg {
		return nil, fmt.Errorf("the kernel answers with %d links", len(answer))
	}
	return answer[0], nil
}

func describeError(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case IsNotFound(err):
		return notFoundError{what}
	}
	return fmt.Errorf("link %s: %w", what, err)
}

// Veths returns the veth devices whose names begin with prefix. Their aliases
// (Attrs().Alias) tell whose they are.
func Veths(prefix string) ([]netlink.Link, error) {
	links, err := netlinksafe.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the links: %w", err)
	}
	var veths []netlink.Link
	for _, l := range links {
		if l.Type() == "veth" && strings.HasPrefix(l.Attrs().Name, prefix) {
			veths = append(veths, l)
		}
	}
	return veths, nil
}

// Addresses returns the addresses of l in a family, such as
// netlink.FAMILY_ALL.
func Addresses(l netlink.Link, family int) ([]netlink.Addr, error) {
	addresses, err := netlinksafe.AddrList(l, family)
	if err != nil {
		return nil, fmt.Errorf("list the addresses of %s: %w", l.Attrs().Name, err)
	}
	return addresses, nil
}

// Delete deletes the link called name. One that is gone is a success.
func Delete(name string) error {
	request := deletion(0)
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	return remove(request, fmt.Sprintf("%q", name))
}

// DeleteByIndex deletes the link with the given index. One that is gone is a
// success.
func DeleteByIndex(index int) error {
	if index <= 0 {
		return fmt.Errorf("delete link #%d: an index is greater than 0", index)
	}
	return remove(deletion(index), fmt.Sprintf("#%d", index))
}

// deletion is the message that deletes a link. The netlink library's own looks
// a name up first, and asks the kernel to delete nothing in particular (EINVAL)
// if that fails; in one message nothing can happen in between.
func deletion(index int) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	return request
}

func remove(request *nl.NetlinkRequest, what string) error {
	_, err := netlinksafe.Execute(request)
	if err != nil && !IsNotFound(err) {
		return fmt.Errorf("delete link %s: %w", what, err)
	}
	return nil
}

// Describe returns l as an entry of a CNI result. sandbox is the path of its
// namespace, empty for a link on the host.
func Describe(l netlink.Link, sandbox string) *current.Interface {
	attrs := l.Attrs()
	return &current.Interface{Name: attrs.Name, Mac: attrs.HardwareAddr.String(), Mtu: attrs.MTU, Sandbox: sandbox}
}

// DescribeNow is Describe, of the link called name as it is now.
func DescribeNow(name, sandbox string) (*current.Interface, error) {
	message, err := messageOf(name)
	if err != nil {
		return nil, err
	}
	return &current.Interface{
		Name:    nameIn(message), // name may be an alternative one
		Mac:     net.HardwareAddr(attribute(message, unix.IFLA_ADDRESS)).String(),
		Mtu:     nlattr.Number(attribute(message, unix.IFLA_MTU)),
		Sandbox: sandbox,
	}, nil
}

// RandomMAC returns a random unicast MAC address, marked as administered
// locally. A link that gets it at creation keeps it: udev replaces addresses
// that the kernel chose, but none that were given.
func RandomMAC() net.HardwareAddr {
	random := rand.Uint64()
	mac := make(net.HardwareAddr, 6)
	for i := range mac {
		mac[i] = byte(random >> (8 * i))
	}
	mac[0] = mac[0]&^0x01 | 0x02
	return mac
}

// RandomVethName returns a name of the form every CNI plugin uses for links nobody
// has named: NetworkManager and others are configured to leave it alone.
func RandomVethName() string { return fmt.Sprintf("veth%08x", rand.Uint32()) }
