// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/nftcomment"
)

// What upstream's portmap has written with nftables since 1.6: rules in the
// tables "ip cni_hostport" and "ip6 cni_hostport", whose comment is the id of
// the container.
//
//	chain hostports { tcp dport 8080 dnat to 10.88.0.2:80 comment "c1" }
//	chain hostip_hostports { ip daddr 192.0.2.1 tcp dport 8080 dnat to … comment "c1" }
//	chain masquerading { ip saddr 10.88.0.2 ip daddr 10.88.0.2 masquerade comment "c1" }
const upstreamTable = "cni_hostport"

// upstreamChains are those that its rules for containers are in, whatever the
// version.
func upstreamChains() []string { return []string{"hostports", "hostip_hostports", "masquerading"} }

// upstreamRule is a rule of upstream's.
type upstreamRule struct {
	*nftables.Rule
	container string
	leadsTo   netip.Addr // the container's address, if it is understood
	mapping   bool       // rather than masquerading
}

// of tells whether the rule belongs to an attachment of a container. Of several,
// the addresses tell; without any, the container is taken to be gone.
func (r upstreamRule) of(container string, known []netip.Prefix) bool {
	return r.container == container && (len(known) == 0 || !r.leadsTo.IsValid() || slices.ContainsFunc(known, func(p netip.Prefix) bool { return p.Addr() == r.leadsTo }))
}

func (f family) upstream() *nftables.Table {
	return &nftables.Table{Family: f.table, Name: upstreamTable}
}

// upstreamRules returns the selected rules, if upstream's table is there at all.
func (f family) upstreamRules(c *conn, selected func(upstreamRule) bool) ([]upstreamRule, error) {
	exists, err := c.hasTable(f.upstream())
	if !exists {
		return nil, err
	}
	var found []upstreamRule
	for _, name := range upstreamChains() {
		rules, err := c.GetRules(f.upstream(), &nftables.Chain{Table: f.upstream(), Name: name})
		if err != nil {
			return nil, explain(err)
		}
		for _, rule := range rules {
			understood := upstreamRule{rule, nftcomment.Of(rule.UserData), f.leadsTo(rule), name != "masquerading"}
			if selected(understood) {
				found = append(found, understood)
			}
		}
	}
	return found, nil
}

// leadsTo returns the address that a rule translates to or masquerades for.
func (f family) leadsTo(rule *nftables.Rule) netip.Addr {
	for _, e := range rule.Exprs {
		if _, masquerades := e.(*expr.Masq); masquerades {
			return f.prefixAt(rule, f.daddr).Addr()
		}
		if data := immediate(e); len(data) == int(f.address.Bytes) {
			addr, _ := netip.AddrFromSlice(data)
			return addr
		}
	}
	return netip.Addr{}
}

func (f family) removeUpstream(ctx context.Context, c *conn, selected func(upstreamRule) bool) (removed bool, err error) {
	err = c.retrying(ctx, func(c *conn) error {
		rules, err := f.upstreamRules(c, selected)
		if err != nil || len(rules) == 0 {
			return err
		}
		removed = true
		for _, rule := range rules {
			if err := c.DelRule(rule.Rule); err != nil {
				return err
			}
		}
		return c.commit()
	})
	if err != nil {
		return removed, fmt.Errorf("table %s %s: %w", familyName(f.table), upstreamTable, err)
	}
	return removed, nil
}

// freeOfUpstream removes the rules of containers whose address the owner has got,
// if they have one of the ports, or says who has one. Of others nobody knows
// whether they are gone.
func freeOfUpstream(ctx context.Context, c *conn, owner plugin.Owner, ports HostPorts) error {
	for _, f := range families() {
		container, mappings := ports.of(f)
		if len(mappings) == 0 {
			continue
		}
		holding, err := f.upstreamRules(c, func(rule upstreamRule) bool { return rule.container != owner.ContainerID && f.collides(rule, ports) })
		for _, rule := range holding {
			if rule.leadsTo != container.Addr() {
				mapping, _ := f.mappingOf(rule)
				return plugin.Errorf(errTryAgainLater, "%s is held by container %s, in table %s %s", mapping, rule.container, familyName(f.table), upstreamTable)
			}
			_, removeErr := f.removeUpstream(ctx, c, func(other upstreamRule) bool {
				return other.container == rule.container && other.leadsTo == rule.leadsTo
			})
			err = errors.Join(err, removeErr)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// collides tells whether a rule has one of the ports. Those with conditions have
// them beside others.
func (f family) collides(rule upstreamRule, ports HostPorts) bool {
	mapping, ok := f.mappingOf(rule)
	_, mappings := ports.of(f)
	return ok && len(ports.conditions(f)) == 0 && slices.ContainsFunc(mappings, mapping.Collides)
}

// mappingOf returns which port of the host a rule translates. One that matches
// anything else has conditions.
func (f family) mappingOf(rule upstreamRule) (m PortMapping, ok bool) {
	var loaded expr.Any
	for _, e := range rule.Exprs {
		switch e := e.(type) {
		case *expr.Meta, *expr.Payload:
			loaded = e
		case *expr.Cmp:
			if !f.understand(loaded, e, &m) {
				return m, false
			}
		case *expr.Immediate, *expr.NAT, *expr.Counter:
		default:
			return m, false
		}
	}
	return m, rule.mapping && m.Protocol != "" && m.HostPort != 0
}

// understand notes what a rule wants of what it has loaded.
func (f family) understand(loaded expr.Any, compared *expr.Cmp, m *PortMapping) bool {
	if compared.Op != expr.CmpOpEq {
		return false
	}
	switch loaded := loaded.(type) {
	case *expr.Meta:
		for name, number := range Protocols() {
			if loaded.Key == expr.MetaKeyL4PROTO && len(compared.Data) == 1 && compared.Data[0] == number {
				m.Protocol = name
				return true
			}
		}
	case *expr.Payload:
		switch {
		case loaded.Base == expr.PayloadBaseTransportHeader && loaded.Offset == 2 && len(compared.Data) == 2:
			m.HostPort = binary.BigEndian.Uint16(compared.Data)
			return true
		case loaded.Base == expr.PayloadBaseNetworkHeader && loaded.Offset == f.daddr:
			var ok bool
			m.HostIP, ok = netip.AddrFromSlice(compared.Data)
			return ok
		}
	}
	return false
}

// WrittenByUpstream returns what CHECK has to know of an attachment that
// upstream's plugin has made: the backend that it used, "" for none, and, for
// nftables, where its rules differ.
func WrittenByUpstream(ctx context.Context, owner plugin.Owner, ports HostPorts) (backend string, differences []string, err error) {
	for _, f := range families() {
		if _, mappings := ports.of(f); len(mappings) == 0 {
			continue
		}
		if there, err := f.mayHold(ctx, containerChain(owner, "DN-")); there || err != nil {
			return IPTables, nil, err
		}
		found, differ, err := f.upstreamDiffers(ctx, owner, ports)
		if err != nil {
			return "", nil, err
		}
		if found {
			backend, differences = NFTables, append(differences, differ...)
		}
	}
	return backend, differences, nil
}

// upstreamDiffers looks for the rules of each mapping, and where they lead. With
// conditions they are not understood: then as many do as upstream's CHECK counts.
func (f family) upstreamDiffers(ctx context.Context, owner plugin.Owner, ports HostPorts) (found bool, differences []string, err error) {
	container, mappings := ports.of(f)
	var rules []upstreamRule
	err = withConn(ctx, func(c *conn) (err error) {
		rules, err = f.upstreamRules(c, func(rule upstreamRule) bool { return rule.container == owner.ContainerID })
		return err
	})
	if err != nil || len(rules) == 0 {
		return false, nil, err
	}
	var translated []PortMapping
	unclear, masquerading := 0, 0
	for _, rule := range rules {
		m, understood := f.translation(rule)
		switch {
		case rule.leadsTo.IsValid() && rule.leadsTo != container.Addr():
		case understood:
			translated = append(translated, m)
		case rule.mapping:
			unclear++
		default:
			masquerading++
		}
	}
	missing := slices.DeleteFunc(mappings, func(m PortMapping) bool { return slices.ContainsFunc(translated, m.isSame) })
	if len(missing) > unclear {
		for _, m := range missing {
			differences = append(differences, fmt.Sprintf("table %s %s does not lead %s to %s",
				familyName(f.table), upstreamTable, m, netip.AddrPortFrom(container.Addr(), m.ContainerPort)))
		}
	}
	if ports.SNAT && masquerading == 0 {
		differences = append(differences, fmt.Sprintf("table %s %s does not masquerade for %s", familyName(f.table), upstreamTable, container.Addr()))
	}
	return true, differences, nil
}

// translation is mappingOf with the port that a rule translates to.
func (f family) translation(rule upstreamRule) (m PortMapping, ok bool) {
	m, ok = f.mappingOf(rule)
	for _, e := range rule.Exprs {
		if data := immediate(e); len(data) == 2 {
			m.ContainerPort = binary.BigEndian.Uint16(data)
		}
	}
	return m, ok
}

// isSame tells whether two mappings of a family mean the same.
func (m PortMapping) isSame(other PortMapping) bool {
	return m.Collides(other) && m.ContainerPort == other.ContainerPort
}

func immediate(e expr.Any) []byte {
	if i, ok := e.(*expr.Immediate); ok {
		return i.Data
	}
	return nil
}
