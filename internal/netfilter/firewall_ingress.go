// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"bytes"
	"errors"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// The ingress policies of bridges, in nftables:
//
//	table inet cni_isolation {
//		set bridges {
//			type ifname
//			elements = { "cni0" comment "cni0", "cni1" comment "cni1" }
//		}
//		set within {
//			type ifname . ifname
//			elements = { "cni0" . "cni0" comment "cni0" }
//		}
//		chain forward {
//			type filter hook forward priority filter; policy accept;
//			iifname . oifname @within accept
//			iifname @bridges oifname @bridges drop
//		}
//		chain owner/cni0 {
//			iifname "cni0" oifname "cni0" comment "cni0"
//		}
//	}
//
// The owner of an entry is the bridge: the policy is shared by all attachments
// and goes with the bridge. What an isolated one, cni1 above, switches between
// its ports is not forwarded in the sense of that chain, but here:
//
//	table bridge cni_isolation {
//		set isolated {
//			type ifname
//			elements = { "cni1" comment "cni1" }
//		}
//		chain forward {
//			type filter hook forward priority filter; policy accept;
//			meta ibrname @isolated drop
//		}
//	}
const isolationTable = "cni_isolation"

// bridgeFilter is where the bridge family filters (NF_BR_PRI_FILTER_BRIDGED).
const bridgeFilter = -200

func isolation() *registry {
	const bridges = "bridges"
	policy := nftables.ChainPolicyAccept
	return &registry{
		table:    nftables.Table{Family: nftables.TableFamilyINet, Name: isolationTable},
		subjects: bridges,
		subject:  nftables.TypeIFName,
		base: nftables.Chain{
			Name: "forward", Type: nftables.ChainTypeFilter, Policy: &policy,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
		},
		last: [][]expr.Any{
			{loadPort(), lookup(bridges), loadOut(unix.NFT_REG_1), lookup(bridges), &expr.Verdict{Kind: expr.VerdictDrop}},
		},
		always: []pairSet{within()},
		pairOf: ingressOf,
		named:  func(set string) (pairSet, bool) { return within(), set == within().name },
	}
}

// within is the set of bridges that forward to themselves.
func within() pairSet {
	return pairSet{
		name:      "within",
		companion: nftables.TypeIFName,
		rule:      []expr.Any{loadPort(), loadOut(unix.NFT_REG_2), lookup("within"), &expr.Verdict{Kind: expr.VerdictAccept}},
	}
}

func loadOut(register uint32) expr.Any {
	return &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: register}
}

func bridgedIsolation() *registry {
	const isolated = "isolated"
	policy := nftables.ChainPolicyAccept
	loadBridge := &expr.Meta{Key: expr.MetaKeyBRIIIFNAME, Register: unix.NFT_REG_1}
	return &registry{
		table:    nftables.Table{Family: nftables.TableFamilyBridge, Name: isolationTable},
		subjects: isolated,
		subject:  nftables.TypeIFName,
		base: nftables.Chain{
			Name: "forward", Type: nftables.ChainTypeFilter, Policy: &policy,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityRef(bridgeFilter),
		},
		last:   [][]expr.Any{{loadBridge, lookup(isolated), &expr.Verdict{Kind: expr.VerdictDrop}}},
		pairOf: ingressOf,
		named:  noPairs,
	}
}

// entry returns what the bridge has in a registry: itself, and with the policy
// that lets its own traffic pass, the pair of it and itself.
func (i Ingress) entry() pair {
	bridge := interfaceName(i.Bridge)
	entry := pair{subject: bridge, record: []expr.Any{loadPort(), equals(bridge)}}
	if i.Policy == IngressSameBridge {
		entry.companion, entry.set = bridge, within()
		entry.record = append(entry.record, loadOut(unix.NFT_REG_1), equals(bridge))
	}
	return entry
}

// ingressOf reads what entry has recorded.
func ingressOf(record []expr.Any) (pair, bool) {
	policies := map[int]string{2: IngressIsolated, 4: IngressSameBridge}
	policy, known := policies[len(record)]
	if !known {
		return pair{}, false
	}
	bridge, ok := record[1].(*expr.Cmp)
	if !ok {
		return pair{}, false
	}
	return Ingress{Bridge: string(bytes.TrimRight(bridge.Data, "\x00")), Policy: policy}.entry(), true
}

// routed returns what the bridge has in the table for what is routed.
func (i Ingress) routed() []pair {
	if i.Policy == IngressOpen {
		return nil
	}
	return []pair{i.entry()}
}

// bridged returns what the bridge has in the table for what it switches.
func (i Ingress) bridged() []pair {
	if i.Policy != IngressIsolated {
		return nil
	}
	return []pair{i.entry()}
}

// put queues what makes the policy that of the bridge.
func (i Ingress) put(c *conn) error {
	if i.Policy == "" {
		return nil
	}
	if err := isolation().replace(c, i.Bridge, i.routed()); err != nil {
		return isolation().wrap(err)
	}
	if i.routedOnly {
		return nil
	}
	return bridgedIsolation().wrap(bridgedIsolation().replace(c, i.Bridge, i.bridged()))
}

// differences compares the kernel with what put would write. Where br_netfilter
// has switched packets go the way of routed ones, the table for those will do.
func (i Ingress) differences(c *conn) ([]string, error) {
	if i.Policy == "" {
		return nil, nil
	}
	routed, err := isolation().differencesOrSurplus(c, i.Bridge, i.routed())
	if err != nil || i.Policy == IngressIsolated && seesBridged() {
		return routed, isolation().wrap(err)
	}
	bridged, err := bridgedIsolation().differencesOrSurplus(c, i.Bridge, i.bridged())
	return append(routed, bridged...), bridgedIsolation().wrap(err)
}

// The ingress policies in iptables, with the comments of upstream:
//
//	-A CNI-ISOLATION-STAGE-1 -i cni0 ! -o cni0 -m comment … -j CNI-ISOLATION-STAGE-2
//	-A CNI-ISOLATION-STAGE-1 -m comment … -j RETURN
//	-A CNI-ISOLATION-STAGE-2 -o cni0 -m comment … -j DROP
//	-A CNI-ISOLATION-STAGE-2 -m comment … -j RETURN

func ingressComment(policy string) string {
	return "CNI firewall plugin rules (ingressPolicy: " + policy + ")"
}

// isIngressComment tells whether a rule of ours about ingress has the comment.
func isIngressComment(comment string) bool {
	return slices.ContainsFunc([]string{IngressSameBridge, IngressIsolated, IngressSameBridge + "|" + IngressIsolated},
		func(policy string) bool { return comment == ingressComment(policy) })
}

// forAllIngress returns a rule that both policies need, as it is written now, and
// as it was while there was but one policy, up to version 1.1.1.
func forAllIngress(rule string) (spellings []ruleWords) {
	for _, policies := range []string{IngressSameBridge + "|" + IngressIsolated, IngressSameBridge} {
		spellings = append(spellings, words(rule).commented(ingressComment(policies)))
	}
	return spellings
}

func isolationJump() []ruleWords { return forAllIngress("-j " + isolationFirst) }

// arrival returns the rule for what goes to a bridge from another.
func arrival(bridge string) []ruleWords { return forAllIngress("-o " + bridge + " -j DROP") }

// setIngress plans the policy of a bridge, if there is one, and that packets come to
// the policies of all ahead of what lets containers pass.
func (d *draft) setIngress(i Ingress) {
	switch i.Policy {
	case IngressOpen:
		d.openBridge(i.Bridge)
	case IngressSameBridge, IngressIsolated:
		d.closeBridge(i)
	}
	jump := d.spelled(forwardChain, isolationJump())
	if len(d.table.to(isolationFirst, isolationLast)) > 0 { // of a bridge that is closed
		d.prepend(forwardChain, jump)
	}
	if forward := d.table.index(forwardChain, forwardJump()); forward >= 0 && d.table.index(forwardChain, jump) > forward {
		d.delete(forwardChain, jump)
		d.prepend(forwardChain, jump)
	}
}

// spelled returns the spelling in which a chain has a rule first, or the one of now.
func (d *draft) spelled(chain string, spellings []ruleWords) ruleWords {
	for _, rule := range d.table[chain] {
		for _, spelling := range spellings {
			if slices.Equal(rule, spelling) {
				return spelling
			}
		}
	}
	return spellings[0]
}

func (d *draft) openBridge(bridge string) {
	for _, policy := range []string{IngressSameBridge, IngressIsolated} {
		for _, rule := range departures(Ingress{Bridge: bridge, Policy: policy}) {
			d.delete(isolationFirst, rule)
		}
	}
	for _, rule := range arrival(bridge) {
		d.delete(isolationLast, rule)
	}
}

func (d *draft) closeBridge(i Ingress) {
	d.addChain(isolationFirst)
	d.addChain(isolationLast)
	other := Ingress{Bridge: i.Bridge, Policy: IngressSameBridge}
	if i.Policy == IngressSameBridge {
		other.Policy = IngressIsolated
	}
	for _, rule := range departures(i) {
		d.prepend(isolationFirst, rule)
	}
	for _, rule := range departures(other) {
		d.delete(isolationFirst, rule)
	}
	d.append(isolationFirst, d.spelled(isolationFirst, forAllIngress("-j RETURN")))
	d.prepend(isolationLast, d.spelled(isolationLast, arrival(i.Bridge)))
	d.append(isolationLast, d.spelled(isolationLast, forAllIngress("-j RETURN")))
}

// departures returns the rules for what comes from a bridge.
func departures(i Ingress) []ruleWords {
	rules := []ruleWords{words("-i " + i.Bridge + " ! -o " + i.Bridge + " -j " + isolationLast).commented(ingressComment(i.Policy))}
	if i.Policy == IngressIsolated {
		rules = append(rules, words("-i "+i.Bridge+" -o "+i.Bridge+" -j DROP").commented(ingressComment(i.Policy)))
	}
	return rules
}

// blindness says why what an isolated bridge switches between its ports would
// pass, if it would.
func blindness(policy string) error {
	if policy != IngressIsolated || seesBridged() {
		return nil
	}
	return errors.New("iptables does not see what a bridge switches between its ports, so that ingressPolicy isolated has no effect on it:" +
		" load the module br_netfilter and set net.bridge.bridge-nf-call-iptables and net.bridge.bridge-nf-call-ip6tables to 1," +
		" or choose the backend " + NFTables)
}

// seesBridged tells whether switched packets pass the rules for routed ones.
func seesBridged() bool {
	return !slices.ContainsFunc([]string{"iptables", "ip6tables"}, func(family string) bool {
		value, err := plainfile.Read("/proc/sys/net/bridge/bridge-nf-call-" + family)
		return err != nil || string(bytes.TrimSpace(value)) != "1"
	})
}
