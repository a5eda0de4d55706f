// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/masqrules"
	"github.com/containernetworking/plugins/pkg/utils/nftcomment"
)

// upstreamMasquerades tells whether upstream's rules masquerade all addresses of
// the owner.
func (f family) upstreamMasquerades(c *conn, owner plugin.Owner, prefixes []netip.Prefix) (bool, error) {
	base, err := c.GetRules(masqrules.Table(), masqrules.Postrouting())
	if err != nil || !leadsToUpstreamChecks(base) {
		return false, explain(err)
	}
	checks, err := c.GetRules(masqrules.Table(), masqrules.Checks())
	if err != nil {
		return false, explain(err)
	}
	owns := masqrules.Owns(owner.Network, owner.IfName, owner.ContainerID)
	checks = slices.DeleteFunc(checks, func(rule *nftables.Rule) bool { return !owns(nftcomment.Of(rule.UserData)) })
	for _, prefix := range prefixes {
		if !slices.ContainsFunc(checks, func(rule *nftables.Rule) bool { return f.isUpstreamCheck(rule, prefix) }) {
			return false, nil
		}
	}
	return true, nil
}

// leadsToUpstreamChecks tells whether the rules of the base chain are upstream's:
// all but multicast comes to those of the attachments.
func leadsToUpstreamChecks(base []*nftables.Rule) bool {
	both := families()
	if len(base) != len(both)+1 || !sameRule(base[len(both)], []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: masqrules.Checks().Name}}) {
		return false
	}
	for i, f := range both {
		verdict := verdictOf(base[i])
		if verdict == nil || verdict.Kind != expr.VerdictReturn || f.prefixAt(base[i], f.daddr) != f.multicast {
			return false
		}
	}
	return true
}

// isUpstreamCheck tells whether a rule masquerades what leaves the subnet of an
// address.
func (f family) isUpstreamCheck(rule *nftables.Rule, prefix netip.Prefix) bool {
	if len(rule.Exprs) == 0 {
		return false
	}
	_, masquerades := rule.Exprs[len(rule.Exprs)-1].(*expr.Masq)
	return masquerades &&
		f.prefixAt(rule, f.saddr) == netip.PrefixFrom(prefix.Addr(), prefix.Addr().BitLen()) &&
		f.comparedAt(rule, f.daddr, expr.CmpOpNeq) == prefix.Masked()
}
