// SPDX-License-Identifier: Apache-2.0

//go:build linux

package childlink

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/defaultroute"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Settings are the keys about the master that macvlan, ipvlan and vlan have in
// common. Embed them by value.
type Settings struct {
	Master          string `json:"master,omitempty"`
	LinkInContainer bool   `json:"linkInContainer,omitempty"`
}

// Master says which link is to be the master of another.
type Master struct {
	Name        string // may be an alternative name; empty: the link of the default route
	InContainer bool   // rather than on the host
	// Suits tells what a link lacks to be the master; may be nil.
	Suits func(netlink.Link) error
}

// Of returns the master that the settings ask for.
func (s Settings) Of(suits func(netlink.Link) error) *Master {
	return &Master{Name: s.Master, InContainer: s.LinkInContainer, Suits: suits}
}

// FitMTU returns a Suits for links whose MTU cannot be greater than that of
// their master.
func FitMTU(mtu int) func(netlink.Link) error {
	return func(master netlink.Link) error {
		if have := master.Attrs(); mtu > have.MTU {
			return plugin.Errorf(types.ErrInvalidNetworkConfig, "mtu: %d is greater than %d, the MTU of the master %s", mtu, have.MTU, have.Name)
		}
		return nil
	}
}

// where runs fn in the namespace of the master. A link without one is made
// where it belongs.
func (m *Master) where(req *plugin.Request, fn func() error) error {
	if m == nil || m.InContainer {
		return req.InNetns(fn)
	}
	return fn()
}

// find returns the master, from the current namespace.
func (m *Master) find() (netlink.Link, error) {
	found, err := m.lookUp()
	if err != nil {
		return nil, fmt.Errorf("master: %w", err)
	}
	if m.Suits == nil {
		return found, nil
	}
	return found, m.Suits(found)
}

func (m *Master) lookUp() (netlink.Link, error) {
	if m.Name == "" {
		return defaultRouteLink(m.place())
	}
	found, err := link.Find(m.Name)
	if errors.Is(err, link.ErrNotFound) {
		return nil, plugin.Errorf(types.ErrInvalidNetworkConfig, "there is no interface %q %s; create it or name another", m.Name, m.place())
	}
	return found, err
}

func (m *Master) place() string {
	if m.InContainer {
		return "in the container"
	}
	return "on the host"
}

// status tells why an ADD would not find its master now, if it needs one. What
// is in a container cannot be told before there is one.
func (m *Master) status() error {
	if m == nil || m.InContainer {
		return nil
	}
	if _, err := m.find(); err != nil {
		return plugin.Errorf(plugin.ErrNotAvailable, "%w", err)
	}
	return nil
}

// check notes if the master of l is another than the configured one. One that
// was found by the default route may have been another then.
func (m *Master) check(report *check.Report, req *plugin.Request, l netlink.Link) {
	if m.Name == "" {
		return
	}
	err := m.where(req, func() error {
		master, err := m.lookUp()
		if err != nil {
			return err
		}
		is, err := m.isMasterOf(req, l, master)
		if err == nil && !is {
			report.Addf("%s: the master is not %s %s", req.IfName, m.Name, m.place())
		}
		return err
	})
	report.Fail("master", err)
}

// isMasterOf tells whether l is on top of this master. The kernel puts a macvlan on
// a macvlan, and an ipvlan on an ipvlan, on top of what that is on.
func (m *Master) isMasterOf(req *plugin.Request, l, master netlink.Link) (bool, error) {
	have, own := l.Attrs(), master.Attrs()
	there, err := m.holdsMasterOf(req, l)
	switch stacked := l.Type() == master.Type() && l.Type() != "vlan"; {
	case !stacked:
		return there && have.ParentIndex == own.Index, err
	case m.InContainer: // from where both say in which namespace that is
		return have.ParentIndex == own.ParentIndex && have.NetNsID == own.NetNsID, err
	default:
		return have.ParentIndex == own.ParentIndex && (there || own.NetNsID >= 0), err
	}
}

// holdsMasterOf tells whether the current namespace, where m is to be, is that of
// the master of l. The kernel says which one that is unless it is the link's own,
// and that may be the host's (CNI_NETNS_OVERRIDE).
func (m *Master) holdsMasterOf(req *plugin.Request, l netlink.Link) (bool, error) {
	isContainers := l.Attrs().NetNsID < 0
	if isContainers && !m.InContainer {
		return ns.SameAsCurrent(req.Netns.Path())
	}
	return isContainers == m.InContainer, nil
}

// defaultRouteLink returns the link of the default route. The place is for the
// error.
func defaultRouteLink(place string) (netlink.Link, error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if found, err := defaultroute.Link(family); found != nil || err != nil {
			return found, err
		}
	}
	return nil, plugin.Errorf(types.ErrInvalidNetworkConfig, "missing, and there is no default route %s whose interface could take its place; name an interface", place)
}
