// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// The plugin can stand in a list more than once, with conditions of its own each time.
// An ADD takes the place of what the same entry has mapped, and leaves what others have.

// entry tells the entries of a list from one another. The mappings do not where the
// runtime gives them: another ADD may have others.
func (c *Config) entry() string {
	mappings := c.RuntimeConfig.PortMappings
	if c.Capabilities["portMappings"] {
		mappings = nil
	}
	text, _ := json.Marshal([]any{c.Backend, c.SNAT, c.MasqAll, c.MarkMasqBit, c.ExternalSetMarkChain, c.ConditionsV4, c.ConditionsV6, mappings})
	return rulename.Hash(16, "", string(text))
}

// all returns what each entry has mapped, in the order of their first ADDs.
func (d intended) all() []intended {
	all := slices.Clone(d.Beside)
	d.Beside = nil
	return append(all, d)
}

// together is what the store keeps of entries.
func together(all []intended) intended {
	last := len(all) - 1
	kept := all[last]
	kept.Beside = slices.Clone(all[:last])
	return kept
}

// with returns what all entries want: this one, which may be without mappings, in the
// place of what it had, and what others have mapped for the attachment as it is, in the
// same sandbox and with the same addresses.
func (own intended) with(req *plugin.Request, earlier *intent.Intent) (all []intended) {
	wanted := len(own.Ports.Mappings) > 0
	if earlier != nil && !earlier.Retired && earlier.Enters(req) {
		addresses := targets(containerAddresses(req))
		for _, other := range store().Decode(*earlier).all() {
			switch {
			case other.Entry == own.Entry && wanted:
				all, wanted = append(all, own), false
			case other.Entry != own.Entry && other.Entry != "" && other.leadsTo(addresses):
				if other = other.yieldingTo(own); len(other.Ports.Mappings) > 0 {
					all = append(all, other)
				}
			}
		}
	}
	if wanted {
		all = append(all, own)
	}
	return all
}

// of returns what the entry has mapped, or what the last one has if that tells no entry.
func (d intended) of(entry string) intended {
	all := d.all()
	if i := slices.IndexFunc(all, func(d intended) bool { return d.Entry == entry }); i >= 0 {
		return all[i]
	}
	return all[len(all)-1]
}

// yieldingTo leaves to another entry what both have under the same conditions, if that
// is to be masqueraded in another way now, or mapped with another backend.
func (d intended) yieldingTo(own intended) intended {
	was, now := d.Ports, own.Ports
	was.Containers, was.Mappings, now.Containers, now.Mappings = nil, nil, nil, nil
	alike := d.Backend == own.Backend && reflect.DeepEqual(was, now)
	if alike || !slices.Equal(was.ConditionsV4, now.ConditionsV4) || !slices.Equal(was.ConditionsV6, now.ConditionsV6) {
		return d
	}
	d.Ports.Mappings = slices.DeleteFunc(slices.Clone(d.Ports.Mappings), func(m netfilter.PortMapping) bool {
		return slices.Contains(own.Ports.Mappings, m)
	})
	return d
}

// leadsTo tells whether ports lead to these addresses alone.
func (d intended) leadsTo(addresses []netip.Prefix) bool {
	return !slices.ContainsFunc(d.Ports.Containers, func(p netip.Prefix) bool { return !slices.Contains(addresses, p) })
}

// compatible refuses what another entry leads elsewhere already. With iptables they
// share a chain, in which there are no conditions.
func (own intended) compatible(c *Config, all []intended) error {
	var problems conf.Problems
	for i, configured := range c.RuntimeConfig.PortMappings {
		m := configured.mapping()
		for _, other := range all {
			if port := other.elsewhere(m); other.Entry != own.Entry && port != 0 && own.meets(other, m) {
				problems.Add(fmt.Sprintf("runtimeConfig.portMappings[%d]", i), "%s leads to port %d already, by another entry of the list", m, port)
				break
			}
		}
	}
	return problems.Err()
}

// elsewhere returns the port that a mapping's port leads to, if that is another.
func (d intended) elsewhere(m netfilter.PortMapping) uint16 {
	for _, other := range d.Ports.Mappings {
		if other.ContainerPort != m.ContainerPort && other.Collides(m) {
			return other.ContainerPort
		}
	}
	return 0
}

// meets tells whether another entry's mappings may apply to packets that a mapping
// does.
func (own intended) meets(other intended, m netfilter.PortMapping) bool {
	shared := own.Backend == netfilter.IPTables && other.Backend == netfilter.IPTables
	return slices.ContainsFunc(own.Ports.Containers, func(p netip.Prefix) bool {
		return m.Applies(p.Addr()) && (shared || slices.Equal(conditionsFor(own.Ports, p.Addr()), conditionsFor(other.Ports, p.Addr())))
	})
}

// besides are the other entries with iptables.
func besides(all []intended, entry string) []netfilter.HostPorts {
	var beside []netfilter.HostPorts
	for _, other := range all {
		if other.Entry != entry && other.Backend == netfilter.IPTables {
			beside = append(beside, other.Ports)
		}
	}
	return beside
}

// mapEach maps what entries want, some or all of those of the owner.
func mapEach(ctx context.Context, owner plugin.Owner, some, all []intended) error {
	for _, d := range some {
		if len(d.Ports.Mappings) == 0 {
			continue
		}
		backend, err := netfilter.SelectPortMapper(d.Backend)
		if err != nil {
			return err
		}
		if err := backend.MapPorts(ctx, owner, d.Ports, netfilter.Besides(holders{}, owner, besides(all, d.Entry))); err != nil {
			return err
		}
	}
	return nil
}

// without returns those of the entries that are not among the others as they are.
func without(all, others []intended) []intended {
	return slices.DeleteFunc(slices.Clone(all), func(d intended) bool {
		return slices.ContainsFunc(others, func(other intended) bool { return reflect.DeepEqual(d, other) })
	})
}
