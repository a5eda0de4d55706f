// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// HostPorts are ports of the host that lead to a container.
type HostPorts struct {
	// Containers are the addresses they lead to, with the lengths of their
	// subnets: at most one of each family.
	Containers []netip.Prefix `json:"containers"`
	Mappings   []PortMapping  `json:"mappings"`

	// SNAT hides who uses a mapping behind the host's address where the answer
	// would otherwise not come back through the host: the container itself, its
	// subnet and the host's loopback addresses; with MasqAll, everybody.
	SNAT    bool `json:"snat"`
	MasqAll bool `json:"masqAll,omitempty"`

	// ConditionsV4 and V6 are further matches, in the backend's language, for
	// all mappings.
	ConditionsV4 []string `json:"conditionsV4,omitempty"`
	ConditionsV6 []string `json:"conditionsV6,omitempty"`

	// MarkBit is the bit by which iptables tells packets to be masqueraded;
	// with ExternalSetMarkChain, somebody else's chain sets a mark of its own.
	MarkBit              uint8  `json:"markBit"`
	ExternalSetMarkChain string `json:"externalSetMarkChain,omitempty"`
}

// PortMapping is a port of the host and where it leads to.
type PortMapping struct {
	Protocol      string     `json:"protocol"`        // tcp, udp or sctp
	HostIP        netip.Addr `json:"hostIP,omitzero"` // the zero Addr: every address of the host
	HostPort      uint16     `json:"hostPort"`
	ContainerPort uint16     `json:"containerPort"`
}

// Protocols are those that have ports to map, by name.
func Protocols() map[string]byte { return map[string]byte{"tcp": 6, "udp": 17, "sctp": 132} }

// String returns the host's side: "8080/tcp", or "192.0.2.1:8080/tcp".
func (m PortMapping) String() string {
	port := fmt.Sprintf("%d/%s", m.HostPort, m.Protocol)
	switch {
	case !m.Specific():
		return port
	case m.HostIP.Is6():
		return fmt.Sprintf("[%s]:%s", m.HostIP, port)
	}
	return m.HostIP.String() + ":" + port
}

// Specific tells whether the mapping is about one address of the host.
func (m PortMapping) Specific() bool { return m.HostIP.IsValid() && !m.HostIP.IsUnspecified() }

// Applies tells whether the mapping has a meaning for a container's address: a
// host's address, also the unspecified one, stands for its family.
func (m PortMapping) Applies(to netip.Addr) bool {
	return !m.HostIP.IsValid() || m.HostIP.Is4() == to.Is4()
}

// Collides tells whether two mappings are of the same port at the same address of
// the host, or at every address of a family.
func (m PortMapping) Collides(other PortMapping) bool {
	if m.Protocol != other.Protocol || m.HostPort != other.HostPort {
		return false
	}
	if m.Specific() || other.Specific() {
		return m.HostIP == other.HostIP
	}
	return !m.HostIP.IsValid() || other.Applies(m.HostIP)
}

// of returns the container's address of a family, and what is mapped to it.
func (h HostPorts) of(f family) (netip.Prefix, []PortMapping) {
	for _, container := range h.Containers {
		if container.Addr().Is4() != f.isIPv4() {
			continue
		}
		var mappings []PortMapping
		for _, m := range h.Mappings {
			if m.Applies(container.Addr()) {
				mappings = append(mappings, m)
			}
		}
		return container, mappings
	}
	return netip.Prefix{}, nil
}

// LeadWhere tells whether they lead to a container to which others lead, too.
func (h HostPorts) LeadWhere(others HostPorts) bool {
	return slices.ContainsFunc(h.Containers, func(c netip.Prefix) bool {
		return slices.ContainsFunc(others.Containers, func(other netip.Prefix) bool { return other.Addr() == c.Addr() })
	})
}

func (h HostPorts) conditions(f family) []string {
	if f.isIPv4() {
		return h.ConditionsV4
	}
	return h.ConditionsV6
}

// Holders tells what is known of the others that have mappings.
type Holders interface {
	// Gone tells whether the attachment with a comment provably does not exist
	// any more; ContainerGone, whether none of a container to a network does.
	Gone(comment string) bool
	ContainerGone(network, container string) bool
	// Siblings returns what other attachments of the same container to the same
	// network have: with iptables they share their chain.
	Siblings(owner plugin.Owner) []HostPorts
}

// PortMapper is a backend that maps ports of the host.
type PortMapper interface {
	Name() string

	// MapPorts maps them, instead of what the owner had mapped. A port that
	// another container has is an error, unless that is gone. One that another
	// interface of the same container has stays where it is, and is gone with it.
	MapPorts(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) error

	// CheckPorts says where the kernel differs from what MapPorts would write.
	CheckPorts(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) (differences []string, err error)

	// RestorePorts does for each attachment what MapPorts does, as far as
	// CheckPorts would find a difference, and returns the owners for which it
	// did. It goes on past those that it cannot restore, and leaves out those
	// that are not current any more.
	RestorePorts(ctx context.Context, all []OwnedPorts, holders Holders) (restored []plugin.Owner, err error)

	// CanMapPorts says what the backend is missing on this host, or returns nil.
	CanMapPorts(ctx context.Context) error
}

// OwnedPorts are what an attachment has mapped.
type OwnedPorts struct {
	Owner plugin.Owner
	Ports HostPorts

	// Beside are what else the attachment has mapped with iptables: see Besides.
	Beside []HostPorts

	// Current tells whether the attachment still is there and has mapped that. It
	// is asked right before a change: somebody else may have the ports by then.
	Current func() bool
}

func (o OwnedPorts) owner() plugin.Owner { return o.Owner }
func (o OwnedPorts) current() bool       { return o.Current() }

// Besides returns the holders for one of several HostPorts of an owner. Those beside it
// stay as siblings do: with iptables they share a chain, and with nftables nothing.
func Besides(holders Holders, owner plugin.Owner, beside []HostPorts) Holders {
	if len(beside) == 0 {
		return holders
	}
	return besides{holders, owner, beside}
}

type besides struct {
	Holders
	owner  plugin.Owner
	beside []HostPorts
}

func (b besides) Siblings(owner plugin.Owner) []HostPorts {
	siblings := b.Holders.Siblings(owner)
	if owner == b.owner {
		siblings = slices.Concat(b.beside, siblings)
	}
	return siblings
}

func (o OwnedPorts) holders(holders Holders) Holders { return Besides(holders, o.Owner, o.Beside) }

// mapEach restores one attachment after the other.
func mapEach(ctx context.Context, mapper PortMapper, all []OwnedPorts, holders Holders) (restored []plugin.Owner, err error) {
	return restoreEach(all,
		func(o OwnedPorts) ([]string, error) {
			return mapper.CheckPorts(ctx, o.Owner, o.Ports, o.holders(holders))
		},
		func(o OwnedPorts) error { return mapper.MapPorts(ctx, o.Owner, o.Ports, o.holders(holders)) })
}

// SelectPortMapper returns the backend of that name, as Select does.
func SelectPortMapper(name string) (PortMapper, error) { return selectBackend(name) }

// errHeld says who has a port.
func errHeld(what fmt.Stringer, container, network string) error {
	return fmt.Errorf("%s is held by container %s, network %s", what, container, network)
}

// errHeldBy is errHeld for an owner's comment.
func errHeldBy(what fmt.Stringer, comment string) error {
	return errHeld(what, containerIn(comment), networkIn(comment))
}

// networkIn and containerIn read an owner's comment.
func networkIn(comment string) string {
	network, _, _ := strings.Cut(comment, "/")
	return network
}

func containerIn(comment string) string {
	_, rest, _ := strings.Cut(comment, "/")
	container, _, _ := strings.Cut(rest, "/")
	return container
}
