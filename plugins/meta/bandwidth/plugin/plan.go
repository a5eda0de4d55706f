// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"encoding/binary"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

// plan is what an attachment should look like.
type plan struct {
	ingress, egress shaper // of what the container receives and sends
	traffic         selection
}

func (c *Config) plan() plan {
	_, l := c.limits()
	p := plan{
		ingress: newShaper(l.IngressRate, l.IngressBurst),
		egress:  newShaper(l.EgressRate, l.EgressBurst),
	}
	for _, given := range append(l.ShapedSubnets, l.UnshapedSubnets...) {
		if network := subnet.Unmapped((*net.IPNet)(&given)); network != nil {
			p.traffic.subnets = append(p.traffic.subnets, *network)
		}
	}
	p.traffic.spared = len(l.UnshapedSubnets) > 0
	return p
}

func (p plan) shapes() bool { return p.ingress.active() || p.egress.active() }

// shapesHost tells whether the host's end itself limits what it sends.
func (p plan) shapesHost() bool { return p.ingress.active() && p.traffic.all() }

// place is where a link can have a queueing discipline.
type place struct {
	parent uint32
	key    string // of the configuration, for which one has to be there
}

// places are those on the host's end in which the plan puts something.
func (p plan) places() []place {
	root := place{netlink.HANDLE_ROOT, "ingressRate"}
	hook := place{netlink.HANDLE_INGRESS, "egressRate"}
	switch {
	case !p.shapesHost() && !p.egress.active():
		hook.key = "ingressRate with subnets"
		return []place{hook}
	case !p.shapesHost():
		return []place{hook}
	case !p.egress.active():
		return []place{root}
	}
	return []place{root, hook}
}

// selection says which traffic is shaped: all of it, or that with addresses
// outside the container in the subnets, or, if they are spared, not in them.
type selection struct {
	subnets []net.IPNet
	spared  bool
}

func (s selection) all() bool { return len(s.subnets) == 0 }

// Priorities of filters; lower ones are asked first. Upstream has the first
// three.
const (
	priorityAll  = 1
	priorityIPv6 = 15
	priorityIPv4 = 16
	priorityRest = 20
)

// filter tells packets to be redirected to the shaper's device from others.
type filter struct {
	priority, protocol uint16
	keys               []netlink.TcU32Key
	redirect           bool
}

// addressField is where the address outside the container stands in a packet.
type addressField struct{ ipv4, ipv6 int32 }

// sources are the addresses outside of what the container receives,
// destinations those of what it sends.
func sources() addressField      { return addressField{12, 8} }
func destinations() addressField { return addressField{16, 24} }

// filters returns the filters for the selection.
func (s selection) filters(outside addressField) []filter {
	if s.all() {
		return []filter{everything(priorityAll)}
	}
	var filters []filter
	for _, subnet := range s.subnets {
		filters = append(filters, subnetFilter(subnet, outside, !s.spared))
	}
	if s.spared {
		filters = append(filters, everything(priorityRest))
	}
	return filters
}

func everything(priority uint16) filter {
	return filter{priority: priority, protocol: unix.ETH_P_ALL, keys: matchAll(), redirect: true}
}

func matchAll() []netlink.TcU32Key { return make([]netlink.TcU32Key, 1) }

func subnetFilter(subnet net.IPNet, outside addressField, redirect bool) filter {
	f := filter{priority: priorityIPv6, protocol: unix.ETH_P_IPV6, redirect: redirect}
	ip, offset := subnet.IP.To16(), outside.ipv6
	if v4 := subnet.IP.To4(); v4 != nil {
		f.priority, f.protocol = priorityIPv4, unix.ETH_P_IP
		ip, offset = v4, outside.ipv4
	}
	f.keys = matchPrefix(ip, subnet.Mask, offset)
	return f
}

// matchPrefix compares the words of a prefix with those of a packet.
func matchPrefix(ip net.IP, mask net.IPMask, offset int32) []netlink.TcU32Key {
	var keys []netlink.TcU32Key
	for i := 0; i < len(ip); i += 4 {
		bits := binary.BigEndian.Uint32(mask[i:])
		if bits != 0 {
			keys = append(keys, netlink.TcU32Key{Mask: bits, Val: binary.BigEndian.Uint32(ip[i:]) & bits, Off: offset + int32(i)})
		}
	}
	if keys == nil {
		return matchAll() // a prefix of length 0
	}
	return keys
}
