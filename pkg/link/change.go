// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// Change is a message to the kernel that changes something.
type Change struct {
	Request  *nl.NetlinkRequest
	What     string // for the error: "add the address 10.1.2.3/24 to eth0"
	Optional bool   // it may fail
	MayExist bool   // what it adds may be there
	// Hint says what the kernel may have meant by an error, which says too little
	// by itself: "; " and a sentence, or nothing. It may be nil.
	Hint func(error) string
}

// batchLength is how many changes go in one Batch: what the kernel says to those
// that it refuses has to fit into the socket, each with the message it is about.
const batchLength = 100

// Apply makes changes in their order with one system call for a hundred of
// them, see Batch. The error is that of the first one that failed and had no
// right to; those after it probably failed because of it.
func Apply(changes ...Change) error {
	for batch := range slices.Chunk(changes, batchLength) {
		if err := applyBatch(batch); err != nil {
			return err
		}
	}
	return nil
}

func applyBatch(changes []Change) error {
	requests := make([]*nl.NetlinkRequest, len(changes))
	for i, change := range changes {
		requests[i] = change.Request
	}
	answers, err := Batch(requests...)
	if err != nil {
		return err
	}
	for i, change := range changes {
		if answers[i] != nil && !change.tolerates(answers[i]) {
			return fmt.Errorf("%s: %w%s", change.What, answers[i], change.hint(answers[i]))
		}
	}
	return nil
}

func (c Change) tolerates(err error) bool {
	return c.Optional || c.MayExist && errors.Is(err, unix.EEXIST)
}

func (c Change) hint(err error) string {
	if c.Hint == nil {
		return ""
	}
	return c.Hint(err)
}

// SetUp sets l up.
func SetUp(l netlink.Link) Change {
	request, message := change(l.Attrs().Index)
	message.Flags, message.Change = unix.IFF_UP, unix.IFF_UP
	return Change{Request: request, What: fmt.Sprintf("set %s up", l.Attrs().Name)}
}

// SetDown sets l down.
func SetDown(l netlink.Link) Change {
	request, message := change(l.Attrs().Index)
	message.Change = unix.IFF_UP
	return Change{Request: request, What: fmt.Sprintf("set %s down", l.Attrs().Name)}
}

// Announce has the kernel tell the neighbours of l about its IPv4 addresses as
// it comes up: they may have known another interface with these. It is the
// parameter arp_notify, without a way through /proc/sys, which may be read-only
// and gets slower with every network namespace of the host.
func Announce(l netlink.Link) Change {
	return inetParameter(l, "arp_notify", arpNotify, 1)
}

// AnnounceNow has the kernel tell the neighbours of l, which is up, about its
// addresses: those of IPv4 where arp_notify is set, of IPv6 where ndisc_notify
// is. The kernel does so when l is given a MAC address, also the one it has. The
// link has to take one while it is up, as veth, macvlan and dummy do.
func AnnounceNow(l netlink.Link) Change {
	request, _ := change(l.Attrs().Index)
	request.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, l.Attrs().HardwareAddr))
	return Change{Request: request, What: "announce the addresses of " + l.Attrs().Name, Optional: true}
}

// Numbers of linux/ip.h: IPV4_DEVCONF_….
const (
	promoteSecondaries = 20
	arpNotify          = 22
)

// inetParameter sets a parameter of IPv4 of l, for which there need not be a
// /proc/sys that can be written.
func inetParameter(l netlink.Link, name string, number int, value uint32) Change {
	request, _ := change(l.Attrs().Index)
	families := nl.NewRtAttr(unix.IFLA_AF_SPEC|unix.NLA_F_NESTED, nil)
	parameters := families.AddRtAttr(unix.AF_INET|unix.NLA_F_NESTED, nil).AddRtAttr(unix.IFLA_INET_CONF|unix.NLA_F_NESTED, nil)
	parameters.AddRtAttr(number, nl.Uint32Attr(value))
	request.AddData(families)
	return Change{Request: request, What: fmt.Sprintf("set %s of %s", name, l.Attrs().Name), Optional: true}
}

// Address gives l an address. With noDAD, an IPv6 address is usable at once,
// rather than after the second or two that duplicate address detection takes.
func Address(l netlink.Link, address *net.IPNet, noDAD bool) Change {
	local, family := wire(address.IP)
	request := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	message := nl.NewIfAddrmsg(family)
	message.Index = uint32(l.Attrs().Index)
	ones, bits := address.Mask.Size()
	message.Prefixlen = uint8(ones)
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.IFA_LOCAL, local))
	request.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, local))
	if family == unix.AF_INET6 && noDAD {
		message.Flags = unix.IFA_F_NODAD
	}
	if family == unix.AF_INET && ones < bits-1 { // RFC 3021: two addresses and no broadcast in a /31
		request.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, broadcast(local, address.Mask)))
	}
	change := Change{Request: request, What: fmt.Sprintf("add the address %s to %s", address, l.Attrs().Name)}
	if family == unix.AF_INET6 {
		change.Hint = func(err error) string { return missingIPv6(l, err) }
	}
	return change
}

// missingIPv6 says why l can have no address of IPv6, if that is what the
// kernel meant.
func missingIPv6(l netlink.Link, err error) string {
	now, findErr := FindByIndex(l.Attrs().Index)
	if findErr != nil {
		return ""
	}
	attrs := now.Attrs()
	switch {
	case errors.Is(err, unix.EACCES):
		return "; IPv6 is switched off there, set " + disabler(attrs.Name) + " to 0"
	case errors.Is(err, unix.EINVAL) && attrs.MTU < SmallestIPv6MTU:
		return fmt.Sprintf("; IPv6 needs an MTU of %d, and %s has %d", SmallestIPv6MTU, attrs.Name, attrs.MTU)
	case errors.Is(err, unix.EOPNOTSUPP):
		return "; the kernel has no IPv6"
	}
	return ""
}

// disabler names the parameter that has switched IPv6 off on a link. Where new links
// have none, this may be one, which is gone when somebody reads that.
func disabler(name string) string {
	if off, err := sysctl.Sysctl("net/ipv6/conf/default/disable_ipv6"); err == nil && off == "1" {
		return "net/ipv6/conf/default/disable_ipv6, for new links, or net/ipv6/conf/all/disable_ipv6"
	}
	return "net/ipv6/conf/" + name + "/disable_ipv6"
}

func broadcast(local net.IP, mask net.IPMask) net.IP {
	last := make(net.IP, len(local))
	for i := range local {
		last[i] = local[i] | ^mask[len(mask)-len(local)+i]
	}
	return last
}

// Route adds a route: its destination, link, gateway, source, table, priority,
// scope, MTU and AdvMSS. One to the same destination may be there with another
// gateway (IPv6 then uses both). what describes it.
func Route(route netlink.Route, what string) Change {
	request := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_ACK)
	addRoute(request, nl.NewRtMsg(), route)
	return Change{Request: request, What: "add the route to " + what}
}

// FirstRoute is Route, but fails with EEXIST if there is one to the same destination
// in the same table with the same priority.
func FirstRoute(route netlink.Route, what string) Change {
	change := Route(route, what)
	change.Request.Flags |= unix.NLM_F_EXCL
	return change
}

// ReplaceRoute is Route, in the place of one to the same destination in the same
// table with the same priority.
func ReplaceRoute(route netlink.Route, what string) Change {
	change := Route(route, what)
	change.Request.Flags |= unix.NLM_F_REPLACE
	return change
}

// EnsureRoute is Route, but the very same one may be there already.
func EnsureRoute(route netlink.Route, what string) Change {
	change := Route(route, what)
	change.MayExist = true
	return change
}

// RemoveRoute removes a route, of the protocol if there is one. One that is not there
// is no error.
func RemoveRoute(route netlink.Route) error {
	request := nl.NewNetlinkRequest(unix.RTM_DELROUTE, unix.NLM_F_ACK)
	message := nl.NewRtDelMsg()
	message.Protocol = uint8(route.Protocol)
	addRoute(request, message, route)
	_, err := netlinksafe.Execute(request)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("remove the route to %s: %w", route.Dst, err)
	}
	return nil
}

func addRoute(request *nl.NetlinkRequest, message *nl.RtMsg, route netlink.Route) {
	destination, family := wire(route.Dst.IP)
	message.Family = uint8(family)
	ones, _ := route.Dst.Mask.Size()
	message.Dst_len = uint8(ones)
	message.Scope = uint8(route.Scope)
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.RTA_DST, destination))
	if route.Gw != nil {
		gateway, _ := wire(route.Gw)
		request.AddData(nl.NewRtAttr(unix.RTA_GATEWAY, gateway))
	}
	if route.Src != nil {
		source, _ := wire(route.Src)
		request.AddData(nl.NewRtAttr(unix.RTA_PREFSRC, source))
	}
	addNumber(request, unix.RTA_OIF, route.LinkIndex)
	message.Table = unix.RT_TABLE_UNSPEC // it stands in an attribute of its own
	addNumber(request, unix.RTA_TABLE, route.Table)
	addNumber(request, unix.RTA_PRIORITY, route.Priority)
	addMetrics(request, route)
}

func addNumber(request *nl.NetlinkRequest, attribute, value int) {
	if value != 0 {
		request.AddData(nl.NewRtAttr(attribute, nl.Uint32Attr(uint32(value))))
	}
}

func addMetrics(request *nl.NetlinkRequest, route netlink.Route) {
	if route.MTU == 0 && route.AdvMSS == 0 {
		return
	}
	metrics := nl.NewRtAttr(unix.RTA_METRICS, nil)
	if route.MTU != 0 {
		metrics.AddRtAttr(unix.RTAX_MTU, nl.Uint32Attr(uint32(route.MTU)))
	}
	if route.AdvMSS != 0 {
		metrics.AddRtAttr(unix.RTAX_ADVMSS, nl.Uint32Attr(uint32(route.AdvMSS)))
	}
	request.AddData(metrics)
}

// wire returns an address as it stands in messages, and its family.
func wire(ip net.IP) (net.IP, int) {
	if v4 := ip.To4(); v4 != nil {
		return v4, unix.AF_INET
	}
	return ip.To16(), unix.AF_INET6
}
