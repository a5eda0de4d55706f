// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package link finds, configures, watches and deletes network interfaces. Its
// functions work in the network namespace of the calling thread.
package link

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
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

// Find returns the link called name.
func Find(name string) (netlink.Link, error) {
	found, err := netlinksafe.LinkByName(name)
	return found, describeError(fmt.Sprintf("%q", name), err)
}

// FindByIndex returns the link with the given index.
func FindByIndex(index int) (netlink.Link, error) {
	found, err := netlink.LinkByIndex(index) // one link, no dump
	return found, describeError(fmt.Sprintf("#%d", index), err)
}

func describeError(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case IsNotFound(err):
		return fmt.Errorf("link %s: %w", what, ErrNotFound)
	}
	return fmt.Errorf("link %s: %w", what, err)
}

// Delete deletes the link called name. One that is gone is a success.
func Delete(name string) error {
	return remove(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: name}}, fmt.Sprintf("%q", name))
}

// DeleteByIndex deletes the link with the given index. One that is gone is a
// success.
func DeleteByIndex(index int) error {
	return remove(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}, fmt.Sprintf("#%d", index))
}

func remove(l netlink.Link, what string) error {
	if err := netlink.LinkDel(l); err != nil && !IsNotFound(err) {
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
