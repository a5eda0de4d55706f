// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package containerlink is what every interface plugin does with the
// container's interface, whatever kind it is of: find it again, compare it with
// what ADD reported, silence and delete it.
package containerlink

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// LentPrefix is what an alternative name begins with that says that the
// interface is the host's and lent to the container. The rest is its owner.
const LentPrefix = "owner:"

// Find returns the container's interface, or nil if there is none that could be
// the attachment's: it is gone, of another kind, lent by the host, or its alias
// says that it belongs to somebody else, whose ADD came first.
func Find(req *plugin.Request, kind string) (netlink.Link, error) {
	var found netlink.Link
	err := req.InNetns(func() (err error) {
		found, err = link.Find(req.IfName)
		return err
	})
	if errors.Is(err, link.ErrNotFound) {
		return nil, nil
	}
	if err != nil || found == nil || found.Type() != kind || isLent(found) || req.Owner().IsOther(found.Attrs().Alias) {
		return nil, err
	}
	return found, nil
}

// FindOwn is Find for links that bear their owner as their alias: the container
// may have renamed the attachment's, or given the name to another.
func FindOwn(req *plugin.Request, kind string) (netlink.Link, error) {
	found, err := Find(req, kind)
	if found != nil || err != nil {
		return found, err
	}
	var all []netlink.Link
	// That the container's links cannot be listed keeps nothing from being released.
	_ = req.InNetns(func() (err error) {
		all, err = netlinksafe.LinkList()
		return err
	})
	mark := req.Owner().Comment()
	if at := slices.IndexFunc(all, func(l netlink.Link) bool { return l.Type() == kind && l.Attrs().Alias == mark }); at >= 0 {
		return all[at], nil
	}
	return nil, nil
}

func isLent(l netlink.Link) bool {
	return slices.ContainsFunc(l.Attrs().AltNames, func(name string) bool { return strings.HasPrefix(name, LentPrefix) })
}

// Silence takes the addresses off the container's interface, if there is one,
// so that IPAM may hand them to somebody else while the interface still exists
// (a DHCP client needs it to give its lease back). It returns the addresses that
// the interface had, but for link-local ones.
func Silence(req *plugin.Request, l netlink.Link) (removed []*net.IPNet, err error) {
	if l == nil {
		return nil, nil
	}
	err = req.InNetns(func() (err error) {
		removed, err = removeAddresses(l)
		return err
	})
	return removed, err
}

// removeAddresses removes all addresses but link-local ones, all or none: a DEL
// that was killed in between would leave the next one with addresses that look
// like all there are.
func removeAddresses(l netlink.Link) (removed []*net.IPNet, err error) {
	addresses, err := link.Addresses(l, netlink.FAMILY_ALL)
	if link.IsNotFound(err) { // another DEL was faster
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	addresses = slices.DeleteFunc(addresses, func(addr netlink.Addr) bool { return !addr.IP.IsGlobalUnicast() })
	for _, addr := range addresses {
		removed = append(removed, addr.IPNet)
	}
	return removed, link.RemoveAddresses(l, addresses)
}

// Living returns the addresses that interfaces of the container have, whoever
// attached them. A container that is gone has none.
func Living(req *plugin.Request) (addresses []*net.IPNet, err error) {
	err = req.InNetns(func() error {
		all, err := netlinksafe.AddrList(nil, netlink.FAMILY_ALL)
		for _, addr := range all {
			addresses = append(addresses, addr.IPNet)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the container's addresses: %w", err)
	}
	return addresses, nil
}

// Delete deletes the container's interface, if there is one.
func Delete(req *plugin.Request, l netlink.Link) error {
	if l == nil {
		return nil
	}
	return req.InNetns(func() error { return link.DeleteByIndex(l.Attrs().Index) })
}

// Want is what an interface should be like, beside what prevResult says.
type Want struct {
	Kind string // as the kernel names it
	MTU  int    // where prevResult states none, as those of old versions; 0: any
	Up   bool   // rather than down, or either
}

// Check compares the container's interface, its addresses and its routes with
// prevResult and with want. It returns the interface, or nil after noting that
// there is none.
func Check(report *check.Report, req *plugin.Request, want Want) (found netlink.Link) {
	index, previous := req.PrevInterface()
	if previous == nil {
		report.Addf("prevResult names no interface %s in the container", req.IfName)
		return nil
	}
	expected := *previous
	expected.Mtu = expectedMTU(req, previous, want)
	err := req.InNetns(func() error {
		if found = report.Link(&expected, want.Kind); found == nil {
			return nil
		}
		if want.Up {
			report.Up(found)
		}
		report.Subnets(found, report.Addresses(found, index, req.Prev.IPs))
		if isAlone(req, index) {
			report.RoutesThrough(found, req.Prev.Routes, ipam.GatewayOf(req.Prev, index))
		} else {
			report.Routes(req.Prev.Routes)
		}
		return nil
	})
	report.Fail(req.IfName, err)
	return found
}

// isAlone tells whether the interface with an index is the only one of the container
// in prevResult. A plugin later in the chain may have added another, and routes, of
// which there is no telling through which gateway they lead.
func isAlone(req *plugin.Request, index int) bool {
	for i, iface := range req.Prev.Interfaces {
		if i != index && iface != nil && iface.Sandbox != "" {
			return false
		}
	}
	return true
}

// expectedMTU returns the MTU that the interface should have, 0 for any. What
// prevResult states comes before what the configuration does: a plugin later in
// the chain, tuning, may have changed it.
func expectedMTU(req *plugin.Request, previous *current.Interface, want Want) int {
	switch {
	case req.IPAM.SetsMTU():
		return 0
	case previous.Mtu != 0:
		return previous.Mtu
	}
	return want.MTU
}

// Describe returns the container's interface as an entry of a result, with the
// MTU that the IPAM plugin has given it, if it does that.
func Describe(req *plugin.Request, l netlink.Link) (*current.Interface, error) {
	if !req.IPAM.SetsMTU() {
		return link.Describe(l, req.Netns.Path()), nil
	}
	err := req.InNetns(func() (err error) {
		l, err = link.FindByIndex(l.Attrs().Index)
		return err
	})
	if err != nil {
		return nil, err
	}
	return link.Describe(l, req.Netns.Path()), nil
}

// Complete makes iface the only interface of the result, to which all addresses
// belong, and puts in the DNS settings of the configuration, if it has any.
func Complete(result *current.Result, iface *current.Interface, c *conf.Common) {
	result.Interfaces = []*current.Interface{iface}
	for _, ip := range result.IPs {
		ip.Interface = current.Int(0)
	}
	if c.HasDNS() {
		result.DNS = c.DNS
	}
}

// OwnIPs returns the addresses of prevResult that belong to the container's
// interface; one that names no interface does.
func OwnIPs(req *plugin.Request) []*current.IPConfig {
	index, _ := req.PrevInterface()
	var own []*current.IPConfig
	for _, ip := range req.Prev.IPs {
		if ip.Interface == nil || *ip.Interface == index {
			own = append(own, ip)
		}
	}
	return own
}
