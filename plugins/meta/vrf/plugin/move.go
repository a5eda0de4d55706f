// SPDX-License-Identifier: Apache-2.0

//go:build linux

package vrf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/linkroutes"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// baggage is what a link loses on its way into a VRF or out of one: the kernel
// sets it down and up again.
type baggage struct {
	Link      int              `json:"link"`      // its index
	MAC       string           `json:"mac"`       // its hardware address
	VRF       string           `json:"vrf"`       // where it goes, or what it leaves
	Addresses []netlink.Addr   `json:"addresses"` // of IPv6, but for those that the kernel makes by itself
	Routes    linkroutes.Saved `json:"routes"`    // that change the table, nearest first
	Others    linkroutes.Saved `json:"others"`    // that do not, likewise
	AcceptDAD string           `json:"acceptDAD"` // the parameter; "" if there is none
}

// pack returns what is to go with a link whose routes are in table, with its
// share of the routes that lead through other links, too, and with that with
// which it should have arrived earlier.
func pack(l netlink.Link, table int, earlier baggage) (baggage, error) {
	addresses, err := globalAddresses(l)
	if err != nil {
		return earlier, err
	}
	all, err := linkroutes.All()
	index := l.Attrs().Index
	return baggage{
		Link:      index,
		MAC:       l.Attrs().HardwareAddr.String(),
		Addresses: slices.Concat(earlier.Addresses, addresses),
		Routes:    inOrder(earlier.Routes, linkroutes.Of(all, index, table)),
		Others:    inOrder(earlier.Others, linkroutes.ThroughInOthers(all, index, table)),
		AcceptDAD: cmp.Or(earlier.AcceptDAD, acceptDAD(l.Attrs().Name)),
	}, err
}

// inOrder returns the routes that the kernel does not make by itself, nearest
// first.
func inOrder(lists ...[]netlink.Route) []netlink.Route {
	routes := slices.DeleteFunc(slices.Concat(lists...), linkroutes.IsKernels)
	linkroutes.NearestFirst(routes)
	return routes
}

// removeAnother removes the VRF that the link did not arrive in, unless that is
// where it goes now.
func (b baggage) removeAnother(vrf string) error {
	if b.VRF == vrf {
		return nil
	}
	return removeEmpty(b.VRF)
}

// enter puts a link into a VRF, with its baggage.
func enter(ctx context.Context, l netlink.Link, found *netlink.Vrf, b baggage) error {
	if err := withdraw(l, unix.RT_TABLE_MAIN); err != nil {
		return err
	}
	b.suspendDAD(l)
	defer b.resumeDAD(l)
	if err := netlink.LinkSetMaster(l, found); err != nil {
		return fmt.Errorf("put %s into the VRF %s: %w", l.Attrs().Name, found.Name, err)
	}
	return b.unpack(ctx, l, int(found.Table))
}

// leave takes a link out of the VRF with the table. What cannot be put back then
// is no error: a gateway may be gone meanwhile, and the link soon will be.
func leave(ctx context.Context, l netlink.Link, table int, b baggage) error {
	b.suspendDAD(l)
	defer b.resumeDAD(l)
	withdrawErr := withdraw(l, table)
	if err := netlink.LinkSetNoMaster(l); err != nil && !link.IsNotFound(err) {
		return fmt.Errorf("take %s out of its VRF: %w", l.Attrs().Name, err)
	}
	_ = b.unpack(ctx, l, unix.RT_TABLE_MAIN)
	return withdrawErr
}

// withdraw removes the link's share of routes that lead through others, too. The
// kernel would keep it, and use it again when the link is up.
func withdraw(l netlink.Link, table int) error {
	all, err := linkroutes.All()
	if err != nil {
		return err
	}
	var errs []error
	for _, share := range linkroutes.Shares(all, l.Attrs().Index, table) {
		_, err := linkroutes.Remove(share)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// arrive gives a link what it has lost on a way that was not taken to its end.
func (b baggage) arrive(ctx context.Context, l netlink.Link, table int) error {
	defer b.resumeDAD(l)
	return b.unpack(ctx, l, table)
}

func (b baggage) unpack(ctx context.Context, l netlink.Link, table int) error {
	if b.Link == 0 {
		return nil // it has arrived with all it had
	}
	if err := b.putAddresses(ctx, l); err != nil {
		return err
	}
	var errs []error
	for _, route := range b.Routes {
		_, err := linkroutes.Add(linkroutes.InTable(route, table))
		errs = append(errs, err)
	}
	for _, route := range b.Others {
		errs = append(errs, putBack(linkroutes.InTable(route, route.Table)))
	}
	return errors.Join(append(errs, b.discard(table))...)
}

// discard removes the routes to subnets that the kernel has made along with the
// addresses and that the link did not have: ptp's containers reach their subnet
// through the gateway.
func (b baggage) discard(table int) error {
	all, err := linkroutes.All()
	errs := []error{err}
	for _, route := range linkroutes.Through(all, b.Link, table) {
		same := func(packed netlink.Route) bool { return isSubnets(packed) && packed.Dst.String() == route.Dst.String() }
		if isSubnets(route) && !slices.ContainsFunc(b.Routes, same) {
			_, err := linkroutes.Remove(route)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// putBack adds a route, without its source if need be: that of the link's only
// address is the one that the kernel chooses.
func putBack(route netlink.Route) error {
	_, err := linkroutes.Add(route)
	if linkroutes.LacksSource(route, err) {
		route.Src = nil
		_, err = linkroutes.Add(route)
	}
	return err
}

// isSubnets tells whether the kernel has made a route for the subnet of an address.
func isSubnets(route netlink.Route) bool {
	return route.Protocol == unix.RTPROT_KERNEL && !linkroutes.IsKernels(route) && !linkroutes.IsDefault(route) && route.Dst.IP.IsGlobalUnicast()
}

func globalAddresses(l netlink.Link) ([]netlink.Addr, error) {
	all, err := link.Addresses(l, netlink.FAMILY_V6)
	return slices.DeleteFunc(all, func(a netlink.Addr) bool { return a.Scope != int(netlink.SCOPE_UNIVERSE) }), err
}

// suspendDAD has the addresses usable as soon as the link is up again, if they
// are known to be unique: nothing changes on the other side of the link. That is
// best effort.
func (b baggage) suspendDAD(l netlink.Link) {
	if b.AcceptDAD != "" && !slices.ContainsFunc(b.Addresses, isUncertain) {
		_ = sysctl.Set(acceptDADKey(l.Attrs().Name), "0")
	}
}

func (b baggage) resumeDAD(l netlink.Link) {
	if b.AcceptDAD != "" {
		_ = sysctl.Set(acceptDADKey(l.Attrs().Name), b.AcceptDAD)
	}
}

func acceptDAD(name string) string {
	value, _ := sysctl.Sysctl(acceptDADKey(name)) // there may be no IPv6
	return value
}

func acceptDADKey(name string) string { return "net/ipv6/conf/" + name + "/accept_dad" }

func isUncertain(address netlink.Addr) bool {
	return address.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0
}

// putAddresses puts back those addresses that the link has lost, and waits until
// each can be the source of a route.
func (b baggage) putAddresses(ctx context.Context, l netlink.Link) error {
	if len(b.Addresses) == 0 {
		return nil
	}
	have, err := globalAddresses(l)
	if err != nil {
		return err
	}
	var all []net.IP
	for _, address := range b.Addresses {
		all = append(all, address.IP)
		if slices.ContainsFunc(have, address.Equal) {
			continue
		}
		if err := netlink.AddrAdd(l, asNew(address)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("put the address %s back on %s: %w", address.IPNet, l.Attrs().Name, err)
		}
	}
	return link.WaitDAD(ctx, l.Attrs().Index, all...)
}

// asNew returns an address as one to be added: with the flags that can be set,
// and without another detection if one has been.
func asNew(address netlink.Addr) *netlink.Addr {
	if !isUncertain(address) {
		address.Flags |= unix.IFA_F_NODAD
	}
	address.Flags &= unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_HOMEADDRESS
	return &address
}
