// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/conntrack"
)

// connection is one to a port of the host.
type connection struct {
	port      hostPort
	host      netip.Addr // where it was sent
	answering netip.Addr // the host itself, or a container
}

// hostPort is a port at whichever address of the host.
type hostPort struct {
	protocol string
	number   uint16
}

// forgetConnections makes the kernel forget connections to mapped ports of the
// host, so that their next packet goes where the mappings lead by now. That may
// fail where nothing tracks connections, and is no reason to fail.
func forgetConnections(ports netfilter.HostPorts, meant func(connection) bool) {
	forget(connectionsTo(ports, meant))
}

// forgetUntranslated does so for connections that were opened while the rules of
// attachments were missing.
func forgetUntranslated(restored []netfilter.OwnedPorts) {
	live := readLive()
	var filters []conntrack.Filter
	for _, r := range restored {
		elsewhere := takenOver(r.Owner, r.Ports, live)
		filters = append(filters, connectionsTo(r.Ports, func(c connection) bool { return !leadsTo(r.Ports, c.answering) && elsewhere(c) })...)
	}
	forget(filters)
}

func forget(filters []conntrack.Filter) {
	if _, err := conntrack.Delete(filters...); err != nil {
		plugin.Logf("portmap", "connections to mapped ports may go on as before: %v", err)
	}
}

// takenOver returns a function that tells whether a connection goes elsewhere by
// now, to the owner. A flow that nobody has translated is one, and one to a
// container that is gone; not one that another mapping leads to its container
// before ours is looked at.
func takenOver(owner plugin.Owner, ports netfilter.HostPorts, live func() []netfilter.OwnedPorts) func(connection) bool {
	return func(c connection) bool {
		ours := c
		if i := slices.IndexFunc(ports.Containers, func(p netip.Prefix) bool { return p.Addr().Is4() == c.host.Is4() }); i >= 0 {
			ours.answering = ports.Containers[i].Addr()
		}
		own := precedence(ports, ours)
		return !slices.ContainsFunc(live(), func(other netfilter.OwnedPorts) bool {
			its := precedence(other.Ports, c)
			return other.Owner != owner && (its > own || its == own && (its >= conditional || other.Owner.ContainerID == owner.ContainerID))
		})
	}
}

// leftBy returns a function that tells whether a connection is one to the owner,
// who has its ports no more. Somebody else may have got its address since.
func leftBy(owner plugin.Owner, ports netfilter.HostPorts) func(connection) bool {
	live := readLive()
	return func(c connection) bool {
		return leadsTo(ports, c.answering) && !slices.ContainsFunc(live(), func(other netfilter.OwnedPorts) bool {
			return other.Owner != owner && precedence(other.Ports, c) > 0
		})
	}
}

// readLive reads what live attachments have mapped when it is first asked for: there
// may be thousands, and no connection about which to ask.
func readLive() func() []netfilter.OwnedPorts {
	return sync.OnceValue(func() []netfilter.OwnedPorts {
		var live []netfilter.OwnedPorts
		for _, i := range store().Alive() {
			for _, d := range store().Decode(i).all() {
				live = append(live, netfilter.OwnedPorts{Owner: i.Owner(), Ports: d.Ports})
			}
		}
		return live
	})
}

// leadsTo tells whether ports lead to an address.
func leadsTo(ports netfilter.HostPorts, addr netip.Addr) bool {
	return slices.ContainsFunc(ports.Containers, func(p netip.Prefix) bool { return p.Addr() == addr })
}

// conditional is the least precedence of mappings with conditions.
const conditional = 3

// precedence tells which of several mappings a new connection would be subject to:
// the one with the highest. It is 0 if none of ports leads the connection to its
// container.
func precedence(ports netfilter.HostPorts, c connection) int {
	if !leadsTo(ports, c.answering) {
		return 0
	}
	highest := 0
	for _, m := range ports.Mappings {
		switch {
		case m.Protocol != c.port.protocol || m.HostPort != c.port.number:
		case m.HostIP == c.host:
			highest = 2
		case m.Applies(c.host) && !m.Specific():
			highest = max(highest, 1)
		}
	}
	if highest > 0 && len(conditionsFor(ports, c.host)) > 0 {
		highest += conditional - 1
	}
	return highest
}

func conditionsFor(ports netfilter.HostPorts, addr netip.Addr) []string {
	if addr.Is6() {
		return ports.ConditionsV6
	}
	return ports.ConditionsV4
}

// connectionsTo returns what tells the connections to mapped ports from others.
func connectionsTo(ports netfilter.HostPorts, meant func(connection) bool) []conntrack.Filter {
	var filters []conntrack.Filter
	for port, mappings := range byPort(ports) {
		if port.number == 0 || netfilter.Protocols()[port.protocol] == 0 { // DEL takes what it is given
			continue
		}
		for _, container := range ports.Containers {
			if !slices.ContainsFunc(mappings, func(m netfilter.PortMapping) bool { return m.Applies(container.Addr()) }) {
				continue
			}
			filters = append(filters, conntrack.Filter{
				Family: conntrack.FamilyOf(container.Addr().AsSlice()), Protocol: netfilter.Protocols()[port.protocol], DstPort: port.number,
				Matches: func(dst, answering net.IP) bool {
					host, _ := netip.AddrFromSlice(dst)
					from, _ := netip.AddrFromSlice(answering)
					return isMapped(host, mappings) && meant(connection{port, host, from})
				},
			})
		}
	}
	return filters
}

// byPort sorts mappings by what the kernel can search connections for.
func byPort(ports netfilter.HostPorts) map[hostPort][]netfilter.PortMapping {
	sorted := map[hostPort][]netfilter.PortMapping{}
	for _, m := range ports.Mappings {
		port := hostPort{m.Protocol, m.HostPort}
		sorted[port] = append(sorted[port], m)
	}
	return sorted
}

// isMapped tells whether one of the mappings is about the address: as its own, or
// as one that is the host's.
func isMapped(addr netip.Addr, mappings []netfilter.PortMapping) bool {
	local := sync.OnceValue(func() bool { return netlinksafe.IsLocal(addr) })
	return slices.ContainsFunc(mappings, func(m netfilter.PortMapping) bool {
		if m.Specific() {
			return m.HostIP == addr
		}
		return m.Applies(addr) && local()
	})
}
