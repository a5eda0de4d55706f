// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
)

// errGone means that the interface, or its network namespace, is no more.
var errGone = errors.New("the interface is gone")

// place is where a lease is held: an interface in a network namespace. Nothing
// of it is kept open. A path may lead to another namespace later, and names,
// indices and inode numbers are used again, so that there are several signs by
// which to recognise it. The MAC address is none: tuning sets another one after
// ADD, and an ipvlan has that of its parent, whichever that is.
type place struct {
	Netns  string `json:"netns"` // the path, as the runtime gave it
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	Cookie uint64 `json:"cookie"` // the kernel's own number, since Linux 5.14; else 0

	station
}

// station is an interface, as a client needs to know it.
type station struct {
	IfName string           `json:"ifname"`
	Index  int              `json:"index"`
	MAC    net.HardwareAddr `json:"mac"`  // when it was found; see lease.open
	Kind   string           `json:"kind"` // such as "macvlan"
}

// findPlace looks at the interface called name in the namespace at path, which
// is found below prefix.
func findPlace(prefix, path, name string) (place, error) {
	p := place{Netns: path, station: station{IfName: name}}
	err := ns.WithNetNSPath(prefix+path, func(ns.NetNS) error {
		if err := p.noteNetns(prefix); err != nil {
			return err
		}
		l, err := link.Find(name)
		if err != nil {
			return fmt.Errorf("error looking up %q: %w", name, err)
		}
		p.Index, p.MAC, p.Kind = l.Attrs().Index, l.Attrs().HardwareAddr, l.Type()
		return nil
	})
	return p, err
}

// noteNetns notes which namespace the calling thread is in.
func (p *place) noteNetns(prefix string) error {
	var stat unix.Stat_t
	if err := unix.Stat(prefix+p.Netns, &stat); err != nil {
		return fmt.Errorf("stat the network namespace %q: %w", p.Netns, err)
	}
	p.Device, p.Inode, p.Cookie = uint64(stat.Dev), stat.Ino, netnsCookie() // 32 bits on MIPS
	return nil
}

// visit runs fn in the namespace, if that and the interface are still the same.
func (p *place) visit(prefix string, fn func(netlink.Link) error) error {
	err := ns.WithNetNSPath(prefix+p.Netns, func(ns.NetNS) error {
		now := place{Netns: p.Netns, station: p.station}
		if err := now.noteNetns(prefix); err != nil {
			return err
		}
		if !p.same(now) {
			return fmt.Errorf("%w: another network namespace is at %s now", errGone, p.Netns)
		}
		l, err := p.find()
		if err != nil {
			return err
		}
		return fn(l)
	})
	var notExist ns.NSPathNotExistErr
	var notNS ns.NSPathNotNSErr
	if errors.As(err, &notExist) || errors.As(err, &notNS) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

// find finds the interface in the namespace of the calling thread, by its index:
// somebody may have given it another name, and its own to another interface.
func (p *place) find() (netlink.Link, error) {
	l, err := link.FindByIndex(p.Index)
	switch {
	case link.IsNotFound(err):
		return nil, fmt.Errorf("%w: %s, %w", errGone, p.IfName, err)
	case err != nil:
		return nil, err
	case l.Type() != p.Kind:
		return nil, fmt.Errorf("%w: link #%d is another one now, %s", errGone, p.Index, l.Attrs().Name)
	}
	return l, nil
}

// isThere tells whether the interface is still the same.
func (p *place) isThere(prefix string) bool {
	return p.visit(prefix, func(netlink.Link) error { return nil }) == nil
}

// same tells whether other is the same interface in the same namespace.
func (p *place) same(other place) bool {
	return p.Device == other.Device && p.Inode == other.Inode && p.Cookie == other.Cookie && p.Index == other.Index
}

// netnsCookie returns the number that the kernel gave the namespace of the
// calling thread, and no other since it was started.
func netnsCookie() uint64 {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0
	}
	return cookie
}

// setUp sets the link up and gives it a moment to be operational; what is sent
// before then may get nowhere.
func setUp(ctx context.Context, l netlink.Link) error {
	if l.Attrs().RawFlags&unix.IFF_UP == 0 {
		if err := netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s up: %w", l.Attrs().Name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := link.WaitUp(ctx, l.Attrs().Index); link.IsNotFound(err) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}
