// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package vethpair makes and removes the veth pair of an attachment: one end in
// the container under the name the runtime asked for, the other on the host.
//
// The host end says whose it is by its name (plugin.Owner.HostLink) and its
// alias (plugin.Owner.Comment). So DEL finds the pair without the container's
// network namespace, and GC finds those of attachments that are no more.
package vethpair

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Pair is a veth pair as the kernel sees it.
type Pair struct {
	Host      netlink.Link
	Container netlink.Link
}

// Create makes the pair of an attachment and pushes its removal. mtu 0 leaves
// the MTU to the kernel, a nil mac gets a random address. Both ends get their
// MAC address at creation: udev replaces addresses that the kernel chose.
func Create(req *plugin.Request, mtu int, mac net.HardwareAddr) (*Pair, error) {
	name := req.Owner().HostLink()
	spec := link.VethSpec{
		Host:      link.VethEnd{Name: name},
		Container: link.VethEnd{Name: req.IfName, MAC: mac, Netns: req.Netns.NS()},
		MTU:       mtu,
	}
	host, container, err := link.CreateVeth(spec)
	var exists *link.ExistsError
	if errors.As(err, &exists) && !exists.InContainer {
		if err := deleteStale(req, name); err != nil {
			return nil, err
		}
		host, container, err = link.CreateVeth(spec)
	}
	if errors.As(err, &exists) && exists.InContainer {
		return nil, fmt.Errorf("%w; use another CNI_IFNAME or delete the attachment first", err)
	}
	if err != nil {
		return nil, err
	}
	req.Undo.Push("veth pair", func() error { return link.Delete(name) })
	return &Pair{host, container}, nil
}

// deleteStale removes a host end with the name of the attachment's. It belongs to
// the same attachment, so it is what an ADD left that did not get as far as a DEL,
// unless somebody has renamed the other end.
func deleteStale(req *plugin.Request, name string) error {
	stale, err := link.Find(name)
	if errors.Is(err, link.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !owns(req.Owner(), stale) {
		return fmt.Errorf("%s, the name for the host's end of the veth pair, belongs to %q", name, stale.Attrs().Alias)
	}
	if err := refuseRenamed(req, stale); err != nil {
		return err
	}
	return link.Delete(name)
}

// Silence takes the addresses off the container's interface, so that IPAM may
// hand them to somebody else. It returns the addresses the attachment had as far
// as they can be known, from the interface and from prevResult.
func Silence(req *plugin.Request) (known []*net.IPNet, err error) {
	l, err := containerEnd(req)
	if err != nil {
		return req.PrevAddresses(), err
	}
	removed, err := containerlink.Silence(req, l)
	return append(req.PrevAddresses(), removed...), err
}

// Delete removes the pair by whichever end can be found.
func Delete(req *plugin.Request) error {
	l, err := containerEnd(req)
	return errors.Join(err, containerlink.Delete(req, l), deleteHostEnd(req))
}

// containerEnd returns the container's interface, or nil if there is none that
// could be the attachment's: its other end, too, may say that it belongs to
// somebody else.
func containerEnd(req *plugin.Request) (netlink.Link, error) {
	found, err := containerlink.Find(req, "veth")
	if found == nil || err != nil {
		return nil, err
	}
	host, err := hostEndOf(found, found.Attrs().ParentIndex)
	if err == nil && req.Owner().IsOther(host.Attrs().Alias) {
		return nil, nil
	}
	return found, nil
}

// HostEnd returns the end on the host of the veth that is the container's
// interface, whoever made it. If either end is not there, link.ErrNotFound
// matches the error; without a network namespace it is nil.
func HostEnd(req *plugin.Request) (netlink.Link, error) {
	var container netlink.Link
	var index int
	err := req.InNetns(func() (err error) {
		container, index, err = link.FindVeth(req.IfName)
		return err
	})
	if err != nil || container == nil {
		return nil, err
	}
	host, err := hostEndOf(container, index)
	if err != nil {
		return nil, fmt.Errorf("the other end of %s is not in this network namespace: %w", req.IfName, err)
	}
	if leadsElsewhere(req, host) {
		return nil, fmt.Errorf("the other end of %s is in a third network namespace, %s is another container's: %w",
			req.IfName, host.Attrs().Name, link.ErrNotFound)
	}
	return host, nil
}

// leadsElsewhere tells whether the other end of a host end is not in the container's
// network namespace. The numbers of both do not tell: who may make links in there can
// make one that has the same as that of another container.
func leadsElsewhere(req *plugin.Request, host netlink.Link) bool {
	there := host.Attrs().NetNsID
	id, err := netlinksafe.NetnsID(int(req.Netns.NS().Fd()))
	return err == nil && there >= 0 && there != id
}

// hostEndOf returns the link with the given index, if it is the other end of
// container: that may be in another namespace, with an index of there.
func hostEndOf(container netlink.Link, index int) (netlink.Link, error) {
	host, err := link.FindByIndex(index)
	if err != nil {
		return nil, err
	}
	// Old kernels do not tell ends with the same index, which is 0 then.
	if back := host.Attrs().ParentIndex; host.Type() != "veth" || back != 0 && back != container.Attrs().Index {
		return nil, fmt.Errorf("%s is another link: %w", host.Attrs().Name, link.ErrNotFound)
	}
	return host, nil
}

// deleteHostEnd removes what is left of the pair on the host: all of it if the
// namespace could not be entered.
func deleteHostEnd(req *plugin.Request) error {
	host, err := HostEndLeft(req)
	if err != nil || host == nil {
		return err
	}
	return link.DeleteByIndex(host.Attrs().Index)
}

// HostEndLeft returns the end on the host of the attachment's pair as far as it
// is known without the container's namespace, or nil. Upstream's attachments
// have host ends with random names, known from prevResult alone.
func HostEndLeft(req *plugin.Request) (netlink.Link, error) {
	host, err := link.Find(req.Owner().HostLink())
	switch {
	case err == nil && owns(req.Owner(), host):
		return host, nil
	case err != nil && !errors.Is(err, link.ErrNotFound):
		return nil, err
	}
	return previousHostEnd(req), nil
}

// previousHostEnd returns the host end that prevResult names, if it still is the
// one: a veth with the same MAC address and no other owner.
func previousHostEnd(req *plugin.Request) netlink.Link {
	if req.Prev == nil {
		return nil
	}
	for _, iface := range req.Prev.Interfaces {
		if iface.Sandbox != "" || iface.Mac == "" || !strings.HasPrefix(iface.Name, "veth") {
			continue
		}
		l, err := link.Find(iface.Name)
		if err == nil && l.Type() == "veth" && l.Attrs().Alias == "" && l.Attrs().HardwareAddr.String() == iface.Mac {
			return l
		}
	}
	return nil
}

// owns tells whether a link with the host name of owner is its: the alias is
// set a moment after the link is created.
func owns(owner plugin.Owner, host netlink.Link) bool {
	alias := host.Attrs().Alias
	return host.Type() == "veth" && (alias == "" || alias == owner.Comment())
}

// GC removes the host ends, and with them the pairs, of attachments of the
// network that are no longer valid. Those of upstream and of Docker, which have no
// alias either, may begin with the network's prefix, but are shorter.
func GC(valid plugin.Attachments) error {
	anybody := plugin.Owner{Network: valid.Network()}
	spared := map[string]bool{}
	for _, owner := range valid.Owners() {
		spared[owner.HostLink()] = true
	}
	veths, err := link.Veths(anybody.HostLinkPrefix())
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range veths {
		attrs := l.Attrs()
		if len(attrs.Name) != len(anybody.HostLink()) || spared[attrs.Name] {
			continue
		}
		if attrs.Alias == "" || valid.StaleComment(attrs.Alias) {
			errs = append(errs, link.DeleteByIndex(attrs.Index))
		}
	}
	return errors.Join(errs...)
}
