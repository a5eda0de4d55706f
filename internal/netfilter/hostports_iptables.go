// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// The iptables backend maps ports with upstream's chains, comments and rules, in
// table nat of each family:
//
//	-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
//	-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
//	-I POSTROUTING 1 -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
//	-A CNI-HOSTPORT-DNAT -m comment --comment … -m multiport -p tcp --destination-ports 8080 -j CNI-DN-…
//	-A CNI-DN-… -p tcp --dport 8080 -s 10.88.0.2/16 -j CNI-HOSTPORT-SETMARK
//	-A CNI-DN-… -p tcp --dport 8080 -s 127.0.0.1 -j CNI-HOSTPORT-SETMARK
//	-A CNI-DN-… -p tcp --dport 8080 -j DNAT --to-destination 10.88.0.2:80
//	-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
//	-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
//
// The name of a container's chain does not tell the interface: attachments of
// one container to one network share it.
const (
	dnatChain    = "CNI-HOSTPORT-DNAT"
	snatChain    = "CNI-HOSTPORT-SNAT" // upstream's, before 0.7
	setMarkChain = "CNI-HOSTPORT-SETMARK"
	masqChain    = "CNI-HOSTPORT-MASQ"

	containerChainPrefix = "CNI-DN-"

	dnatCommentPrefix = "dnat "
	maxXTComment      = 255
	maxMultiport      = 15 // XT_MULTI_PORTS
)

// containerChain returns the name of the chain of a container, or with "SN-" of
// the one that upstream had for masquerading before 0.7.
func containerChain(owner plugin.Owner, prefix string) string {
	return rulename.Chain(owner.Network, owner.ContainerID, prefix)
}

// dnatComment is the comment on the rules that lead to a container's chain.
func dnatComment(network, container string) string {
	comment := dnatCommentPrefix + rulename.Comment(network, container)
	if len(comment) > maxXTComment {
		comment = comment[:maxXTComment-3] + "..."
	}
	return comment
}

// holderIn reads what dnatComment has written.
func holderIn(comment string) (network, container string, ok bool) {
	quoted, ok := strings.CutPrefix(comment, dnatCommentPrefix+"name: ")
	if !ok {
		return "", "", false
	}
	name, id, ok := strings.Cut(quoted, " id: ")
	network, errName := strconv.Unquote(name)
	container, errID := strconv.Unquote(id)
	return network, container, ok && errName == nil && errID == nil
}

// to returns the rules of a chain that jump to another.
func (t savedTable) to(chain, target string) []ruleWords {
	var rules []ruleWords
	for _, rule := range t[chain] {
		if after(rule, "-j") == target {
			rules = append(rules, rule)
		}
	}
	return rules
}

// portRule is what matters of a rule in a container's chain.
type portRule struct {
	proto   string
	port    uint16
	hostIP  netip.Prefix // the zero Prefix: any
	source  netip.Prefix // whom it is about; the zero Prefix: all
	target  string
	leadsTo netip.AddrPort // of DNAT
}

func parsePortRule(words ruleWords) portRule {
	port, _ := strconv.ParseUint(after(words, "--dport"), 10, 16)
	leadsTo, _ := netip.ParseAddrPort(after(words, "--to-destination"))
	return portRule{
		proto: after(words, "-p"), port: uint16(port), target: after(words, "-j"), leadsTo: leadsTo,
		hostIP: parsePrefix(after(words, "-d")), source: parsePrefix(after(words, "-s")),
	}
}

// words returns the rule for iptables-restore.
func (r portRule) words() ruleWords {
	rule := ruleWords{"-p", r.proto, "--dport", strconv.Itoa(int(r.port))}
	if r.hostIP.IsValid() {
		rule = append(rule, "-d", r.hostIP.Addr().String())
	}
	if r.source.IsValid() {
		rule = append(rule, "-s", r.source.String())
	}
	rule = append(rule, "-j", r.target)
	if r.leadsTo.IsValid() {
		rule = append(rule, "--to-destination", r.leadsTo.String())
	}
	return rule
}

// portRules returns the rules of a container's chain.
func (f family) portRules(ports HostPorts) []portRule {
	container, mappings := ports.of(f)
	var rules []portRule
	for _, m := range mappings {
		base := portRule{proto: m.Protocol, port: m.HostPort}
		if m.Specific() {
			base.hostIP = netip.PrefixFrom(m.HostIP, m.HostIP.BitLen())
		}
		for _, source := range ports.markedSources(container) {
			marking := base
			marking.source, marking.target = source, ports.markTarget()
			rules = append(rules, marking)
		}
		base.target, base.leadsTo = "DNAT", netip.AddrPortFrom(container.Addr(), m.ContainerPort)
		rules = append(rules, base)
	}
	return rules
}

// markedSources are the sources that upstream marks: of the loopback addresses
// 127.0.0.1 alone.
func (h HostPorts) markedSources(container netip.Prefix) []netip.Prefix {
	var marked []netip.Prefix
	for _, source := range h.sources(container) {
		switch {
		case source == loopback():
			marked = append(marked, netip.PrefixFrom(source.Addr().Next(), source.Addr().BitLen()))
		case source.Addr() != netip.IPv6Loopback():
			marked = append(marked, source)
		}
	}
	return marked
}

func (h HostPorts) markTarget() string {
	if h.ExternalSetMarkChain != "" {
		return h.ExternalSetMarkChain
	}
	return setMarkChain
}

// entryRules returns the rules that lead to a container's chain, for each
// protocol and at most 15 ports.
func (f family) entryRules(owner plugin.Owner, ports HostPorts) []ruleWords {
	byProtocol := map[string][]string{}
	for _, m := range ports.Mappings {
		byProtocol[m.Protocol] = append(byProtocol[m.Protocol], strconv.Itoa(int(m.HostPort)))
	}
	var rules []ruleWords
	for _, proto := range slices.Sorted(maps.Keys(byProtocol)) {
		for some := range slices.Chunk(byProtocol[proto], maxMultiport) {
			rules = append(rules, entryRule(owner, proto, strings.Join(some, ","), ports.conditions(f)))
		}
	}
	return rules
}

func entryRule(owner plugin.Owner, proto, ports string, conditions []string) ruleWords {
	return slices.Concat(
		ruleWords{"-p", proto, "-m", "comment", "--comment", dnatComment(owner.Network, owner.ContainerID)},
		ruleWords{"-m", "multiport", "--dports", ports},
		conditions,
		ruleWords{"-j", containerChain(owner, "DN-")})
}

// Shared chains.

// marking returns the rules of the chains of marks.
func (h HostPorts) marking() map[string]ruleWords {
	mark := fmt.Sprintf("%#x/%#[1]x", uint32(1)<<h.MarkBit)
	return map[string]ruleWords{
		setMarkChain: {"-m", "comment", "--comment", "CNI portfwd masquerade mark", "-j", "MARK", "--set-xmark", mark},
		masqChain:    {"-m", "mark", "--mark", mark, "-j", "MASQUERADE"},
	}
}

// marks tells whether the attachment uses our own chains of marks.
func (h HostPorts) marks() bool { return h.SNAT && h.ExternalSetMarkChain == "" }

// jump is a rule of a built-in chain that leads to a shared one.
type jump struct {
	from, to string
	matches  ruleWords
	first    bool // ahead of what the plugins that masquerade have there
}

func (h HostPorts) jumps() []jump {
	local := ruleWords{"-m", "addrtype", "--dst-type", "LOCAL"}
	jumps := []jump{{from: "PREROUTING", to: dnatChain, matches: local}, {from: "OUTPUT", to: dnatChain, matches: local}}
	if h.marks() {
		jumps = append(jumps, jump{"POSTROUTING", masqChain, ruleWords{"-m", "comment", "--comment", "CNI portfwd requiring masquerade"}, true})
	}
	return jumps
}

// shareChains changes what the shared chains lack for ports.
func (d *draft) shareChains(ports HostPorts) {
	d.addChain(dnatChain)
	if ports.marks() {
		for _, chain := range []string{setMarkChain, masqChain} {
			d.addChain(chain)
			if d.table.index(chain, ports.marking()[chain]) < 0 || len(d.table[chain]) != 1 {
				d.flush(chain)
				d.append(chain, ports.marking()[chain])
			}
		}
	}
	for _, j := range ports.jumps() {
		rule := slices.Concat(j.matches, ruleWords{"-j", j.to})
		switch {
		case len(d.table.to(j.from, j.to)) > 0:
		case j.first:
			d.prepend(j.from, rule)
		default:
			d.append(j.from, rule)
		}
	}
}

// The commands.

// MapPorts starts one iptables-save and one iptables-restore for each family.
func (iptablesBackend) MapPorts(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) error {
	if err := freeOfNFTables(ctx, owner, ports, holders); err != nil {
		return err
	}
	for _, f := range families() {
		if _, mappings := ports.of(f); len(mappings) == 0 {
			continue
		}
		if err := f.freeOfOtherVariant(ctx, owner, ports, holders); err != nil {
			return err
		}
		err := f.change(ctx, "nat", func(d *draft) error {
			if len(d.table[dnatChain]) == 0 {
				if err := stopAtFlush(ctx); err != nil {
					return err
				}
			}
			return f.planPorts(d, owner, ports, holders)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// planPorts plans the chain of a container for all of its attachments, or says who
// has one of the ports.
func (f family) planPorts(d *draft, owner plugin.Owner, ports HostPorts, holders Holders) error {
	evicted, err := f.heldIn(d.table, owner, ports, holders)
	if err != nil {
		return err
	}
	for _, chain := range evicted {
		d.dropChain(dnatChain, chain)
	}
	all := append(f.siblings(d.table, owner, holders), ports)
	for _, each := range all {
		d.shareChains(each)
	}
	f.fillChain(d, owner, all)
	return nil
}

// planWithout plans the chain of a container for its attachments but the owner's.
func (f family) planWithout(d *draft, owner plugin.Owner, holders Holders) {
	siblings := f.siblings(d.table, owner, holders)
	if len(siblings) == 0 {
		d.dropChain(dnatChain, containerChain(owner, "DN-"))
		return
	}
	d.shareChains(siblings[len(siblings)-1])
	f.fillChain(d, owner, siblings)
}

// siblings are what the other attachments of a container have in its chain, if
// anything. A port that another container has got meanwhile stays with that.
func (f family) siblings(table savedTable, owner plugin.Owner, holders Holders) []HostPorts {
	return slices.DeleteFunc(holders.Siblings(owner), func(ports HostPorts) bool {
		_, mappings := ports.of(f)
		_, err := f.heldIn(table, owner, ports, holders)
		return len(mappings) == 0 || err != nil
	})
}

// RestorePorts starts one iptables-save and, if something is to be restored, one
// iptables-restore for each family. It is all or nothing for the latter: if it
// fails, one attachment is restored after the other, unless nobody gets the lock.
func (b iptablesBackend) RestorePorts(ctx context.Context, all []OwnedPorts, holders Holders) (restored []plugin.Owner, err error) {
	var errs []error
	touched := map[plugin.Owner]bool{}
	for _, f := range families() {
		owners, problems, err := f.restorePorts(ctx, all, holders)
		if isLockedOut(err) {
			return nil, err
		}
		if err != nil {
			return mapEach(ctx, b, all, holders)
		}
		errs = append(errs, problems)
		for _, owner := range owners {
			touched[owner] = true
		}
	}
	for _, o := range all {
		if touched[o.Owner] {
			restored = append(restored, o.Owner)
		}
	}
	return restored, errors.Join(errs...)
}

// restorePorts returns whose mappings of the family it has restored, and why it
// could not those of others.
func (f family) restorePorts(ctx context.Context, all []OwnedPorts, holders Holders) (restored []plugin.Owner, problems, err error) {
	all = slices.DeleteFunc(slices.Clone(all), func(o OwnedPorts) bool {
		_, mappings := o.Ports.of(f)
		return len(mappings) == 0
	})
	if len(all) == 0 {
		return nil, nil, nil
	}
	err = f.change(ctx, "nat", func(d *draft) error {
		restored, problems = f.planRestoration(ctx, d, all, holders)
		return nil
	})
	return restored, problems, err
}

func (f family) planRestoration(ctx context.Context, d *draft, all []OwnedPorts, holders Holders) (restored []plugin.Owner, problems error) {
	var errs []error
	for _, o := range all {
		holders := o.holders(holders)
		if len(f.portsDiffer(d.table, o.Owner, o.Ports, holders)) == 0 || !o.Current() {
			continue
		}
		err := freeOfNFTables(ctx, o.Owner, o.Ports, holders)
		if err == nil {
			err = f.planPorts(d, o.Owner, o.Ports, holders)
		}
		if err == nil {
			restored = append(restored, o.Owner)
		}
		errs = append(errs, wrapFor(o, err))
	}
	return restored, errors.Join(errs...)
}

// fillChain fills the chain of a container, and then lets packets into it.
func (f family) fillChain(d *draft, owner plugin.Owner, all []HostPorts) {
	chain := containerChain(owner, "DN-")
	d.dropChain(dnatChain, chain)
	d.addChain(chain)
	var rules []ruleWords
	for _, rule := range f.orderedRules(all) {
		rules = append(rules, rule.words())
	}
	d.fill(chain, rules)
	for _, ports := range all {
		ahead, rest := f.overtaking(d.table, chain, ports)
		for _, rule := range f.entryRules(owner, rest) {
			d.append(dnatChain, rule)
		}
		if len(ahead.Mappings) > 0 {
			f.letAhead(d, owner, ahead)
		}
	}
}

// orderedRules returns the rules of a container's chain in the order of the
// mappings, but for a port that is mapped both at one address and at every one:
// the former comes first.
func (f family) orderedRules(all []HostPorts) []portRule {
	var rules []portRule
	for _, ports := range all {
		rules = append(rules, f.portRules(ports)...)
	}
	type port struct {
		proto  string
		number uint16
	}
	first := map[port]int{}
	for i, rule := range rules {
		if _, seen := first[port{rule.proto, rule.port}]; !seen {
			first[port{rule.proto, rule.port}] = i
		}
	}
	specificFirst := map[bool]int{true: 0, false: 1}
	slices.SortStableFunc(rules, func(a, b portRule) int {
		return cmp.Or(
			cmp.Compare(first[port{a.proto, a.port}], first[port{b.proto, b.port}]),
			cmp.Compare(specificFirst[a.hostIP.IsValid()], specificFirst[b.hostIP.IsValid()]))
	})
	return rules
}

// overtaking splits ports into those that packets have to come to before they come
// to what other containers have of the same port, and the rest, which stay where
// upstream has them: at the end.
func (f family) overtaking(table savedTable, chain string, ports HostPorts) (ahead, rest HostPorts) {
	ahead, rest = ports, ports
	ahead.Mappings, rest.Mappings = nil, nil
	inTheWay := func(m PortMapping) bool {
		return slices.ContainsFunc(table[dnatChain], func(rule ruleWords) bool {
			return after(rule, "-j") != chain && entersFor(rule, m) && !conditional(rule)
		})
	}
	for _, m := range ports.Mappings {
		if (len(ports.conditions(f)) > 0 || ports.onlySpecific(m)) && inTheWay(m) {
			ahead.Mappings = append(ahead.Mappings, m)
		} else {
			rest.Mappings = append(rest.Mappings, m)
		}
	}
	return ahead, rest
}

// onlySpecific tells whether the port of a mapping is mapped at single addresses
// only.
func (h HostPorts) onlySpecific(m PortMapping) bool {
	return !slices.ContainsFunc(h.Mappings, func(other PortMapping) bool {
		return !other.Specific() && other.Protocol == m.Protocol && other.HostPort == m.HostPort
	})
}

// letAhead puts entry rules ahead of all others, but for those of the same ports
// with conditions, which come before those without. (A place in between has a
// number, which changes when others go.)
func (f family) letAhead(d *draft, owner plugin.Owner, ports HostPorts) {
	var conditionals []ruleWords
	for _, rule := range d.table[dnatChain] {
		shared := slices.ContainsFunc(ports.Mappings, func(m PortMapping) bool { return entersFor(rule, m) })
		if shared && conditional(rule) && len(ports.conditions(f)) == 0 {
			conditionals = append(conditionals, rule)
		}
	}
	for _, rule := range f.entryRules(owner, ports) {
		d.prepend(dnatChain, rule)
	}
	for _, rule := range slices.Backward(conditionals) {
		d.delete(dnatChain, rule)
		d.prepend(dnatChain, rule)
	}
}

// dropChain deletes a chain and the rules of parent that jump to it.
func (d *draft) dropChain(parent, chain string) {
	for _, rule := range d.table.to(parent, chain) {
		d.delete(parent, rule)
	}
	d.deleteChain(chain)
}

// heldIn returns the chains of containers that are gone and have a port of
// ports, or who has one and is not gone. The container itself may have it, in
// another network, whose chain is the first that packets come to.
func (f family) heldIn(table savedTable, owner plugin.Owner, ports HostPorts, holders Holders) (evicted []string, held error) {
	container, mappings := ports.of(f)
	for _, rule := range table[dnatChain] {
		chain := after(rule, "-j")
		if chain == containerChain(owner, "DN-") || slices.Contains(evicted, chain) || f.differIn(rule, ports, holders) {
			continue
		}
		m, leadsTo, shared := sharedPort(table[chain], mappings)
		if !shared {
			continue
		}
		network, id, _ := holderIn(after(rule, "--comment"))
		passedOn := network == owner.Network && leadsTo.Addr() == container.Addr()
		switch {
		case passedOn || holders.ContainerGone(network, id):
			evicted = append(evicted, chain)
		case id != owner.ContainerID:
			return nil, plugin.Errorf(errTryAgainLater, "%w", errHeld(m, id, network))
		}
	}
	return evicted, nil
}

// differIn tells whether an entry rule has other conditions than ports. Only what
// is remembered of its container tells which: iptables-save writes them in words of
// its own.
func (f family) differIn(rule ruleWords, ports HostPorts, holders Holders) bool {
	conditions := ports.conditions(f)
	if len(conditions) == 0 || !conditional(rule) {
		return len(conditions) > 0 || conditional(rule)
	}
	network, id, _ := holderIn(after(rule, "--comment"))
	its := holders.Siblings(plugin.Owner{Network: network, ContainerID: id})
	return !slices.ContainsFunc(its, func(other HostPorts) bool { return slices.Equal(other.conditions(f), conditions) })
}

// conditional tells whether an entry rule has more matches than those of its own.
func conditional(rule ruleWords) bool {
	const ownWords = 2 + 4 + 4 + 2 // -p tcp, -m comment --comment …, -m multiport --dports …, -j chain
	return len(rule) > ownWords
}

// sharedPort returns the mapping that the rules of a chain translate, too.
func sharedPort(rules []ruleWords, mappings []PortMapping) (PortMapping, netip.AddrPort, bool) {
	for _, words := range rules {
		rule := parsePortRule(words)
		for _, m := range mappings {
			sameAddress := rule.hostIP.IsValid() == m.Specific() && (!m.Specific() || rule.hostIP.Addr() == m.HostIP)
			if rule.target == "DNAT" && rule.proto == m.Protocol && rule.port == m.HostPort && sameAddress {
				return m, rule.leadsTo, true
			}
		}
	}
	return PortMapping{}, netip.AddrPort{}, false
}

// CheckPorts starts one iptables-save for each family, that of the other variant
// if that has the container's chain, and one iptables for each entry rule with
// conditions.
func (iptablesBackend) CheckPorts(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) ([]string, error) {
	var differences []string
	for _, f := range families() {
		if _, mappings := ports.of(f); len(mappings) == 0 {
			continue
		}
		f, table, err := f.saveHolding(ctx, containerChain(owner, "DN-"))
		if err != nil {
			return nil, err
		}
		conditions, err := f.conditionsDiffer(ctx, table, owner, ports, f.siblings(table, owner, holders))
		if err != nil {
			return nil, err
		}
		for _, difference := range append(f.portsDiffer(table, owner, ports, holders), conditions...) {
			differences = append(differences, f.program("")+": table nat: "+difference)
		}
	}
	return differences, nil
}

// saveHolding returns the variant of iptables that has a chain, and what it has.
func (f family) saveHolding(ctx context.Context, chain string) (family, savedTable, error) {
	table, err := f.saved(ctx, "nat")
	if err != nil || table.has(chain) {
		return f, table, err
	}
	others, err := f.mappingElsewhere(ctx, chain)
	if err != nil || len(others) == 0 {
		return f, table, err
	}
	table, err = others[0].saved(ctx, "nat")
	return others[0], table, err
}

// conditionsDiffer looks for entry rules with other conditions than those of ports or
// siblings, and for mappings that are led under those of siblings alone.
func (f family) conditionsDiffer(ctx context.Context, table savedTable, owner plugin.Owner, ports HostPorts, siblings []HostPorts) (differences []string, err error) {
	conditions, chain := ports.conditions(f), containerChain(owner, "DN-")
	if len(conditions) == 0 {
		return nil, nil
	}
	led := map[PortMapping]bool{} // or else by siblings
	for _, rule := range table.to(dnatChain, chain) {
		if !conditional(rule) || !entersForAny(rule, ports.Mappings) {
			continue
		}
		own, err := f.hasEntry(ctx, owner, rule, ports)
		known := own
		for _, sibling := range siblings {
			if err == nil && !known {
				known, err = f.hasEntry(ctx, owner, rule, sibling)
			}
		}
		if err != nil {
			return nil, err
		}
		if !known {
			differences = append(differences, fmt.Sprintf("chain %s leads %s to %s under other conditions than %q", dnatChain, after(rule, "--dports"), chain, conditions))
			continue
		}
		for _, m := range ports.Mappings {
			if entersFor(rule, m) {
				led[m] = led[m] || own
			}
		}
	}
	for _, m := range ports.Mappings {
		if own, found := led[m]; found && !own {
			differences = append(differences, fmt.Sprintf("chain %s does not lead %s to %s under the conditions %q", dnatChain, m, chain, conditions))
		}
	}
	return differences, nil
}

// hasEntry tells whether there is an entry rule as the given one with the conditions of
// ports, if those have any and are meant. Only the program can tell: iptables-save
// writes them in words of its own.
func (f family) hasEntry(ctx context.Context, owner plugin.Owner, rule ruleWords, ports HostPorts) (bool, error) {
	conditions := ports.conditions(f)
	if len(conditions) == 0 || !entersForAny(rule, ports.Mappings) {
		return false, nil
	}
	wanted := entryRule(owner, after(rule, "-p"), after(rule, "--dports"), conditions)
	_, err := f.run(ctx, "", "", slices.Concat([]string{"-t", "nat", "-w", lockWait, "-C", dnatChain}, wanted)...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitNoSuchRule {
		return false, nil
	}
	return err == nil, err
}

// exitNoSuchRule is the exit status of iptables -C for a rule that is not there.
const exitNoSuchRule = 1

func (f family) portsDiffer(table savedTable, owner plugin.Owner, wanted HostPorts, holders Holders) []string {
	chain := containerChain(owner, "DN-")
	if !table.has(chain) {
		return []string{"chain " + chain + " is missing"}
	}
	var differences []string
	var there, meant []portRule
	for _, rule := range table[chain] {
		there = append(there, normal(parsePortRule(rule)))
	}
	isThere := setOf(there)
	for _, ports := range append(f.siblings(table, owner, holders), wanted) {
		for _, rule := range f.portRules(ports) {
			if meant = append(meant, normal(rule)); !isThere[normal(rule)] {
				differences = append(differences, fmt.Sprintf("chain %s lacks %q", chain, rule.words()))
			}
		}
		for _, m := range ports.Mappings {
			if !table.leads(chain, m, len(ports.conditions(f)) > 0) {
				differences = append(differences, fmt.Sprintf("chain %s has no rule that leads %s to %s, under the conditions there are", dnatChain, m, chain))
			}
		}
	}
	for _, rule := range stray(there, meant) {
		differences = append(differences, fmt.Sprintf("chain %s has %q ahead of the rule for that port", chain, rule.words()))
	}
	return append(differences, table.sharedDiffer(wanted)...)
}

func setOf(rules []portRule) map[portRule]bool {
	set := map[portRule]bool{}
	for _, rule := range rules {
		set[rule] = true
	}
	return set
}

// stray returns the rules of a chain that translate what one that is meant to be
// there would, if packets got to it. That is what upstream leaves of an attachment
// that it has made twice, with different addresses.
func stray(there, meant []portRule) []portRule {
	var found []portRule
	isMeant := setOf(meant)
	for i, rule := range there {
		isAheadOf := func(other portRule) bool { return other.shares(rule) && !slices.Contains(there[:i], other) }
		if rule.target == "DNAT" && !isMeant[rule] && slices.ContainsFunc(meant, isAheadOf) {
			found = append(found, rule)
		}
	}
	return found
}

// shares tells whether there are packets that both rules would translate.
func (r portRule) shares(other portRule) bool {
	return r.target == "DNAT" && r.proto == other.proto && r.port == other.port &&
		(!r.hostIP.IsValid() || !other.hostIP.IsValid() || r.hostIP == other.hostIP)
}

// normal is a rule as iptables-save prints it, with the whole network for a
// source.
func normal(r portRule) portRule {
	if r.source.IsValid() {
		r.source = r.source.Masked()
	}
	if r.source.IsValid() && r.source.Bits() == 0 {
		r.source = netip.Prefix{}
	}
	return r
}

// leads tells whether an entry rule, which has further matches or none, leads a
// mapping's port to a chain.
func (t savedTable) leads(chain string, m PortMapping, conditions bool) bool {
	return slices.ContainsFunc(t.to(dnatChain, chain), func(rule ruleWords) bool {
		return entersFor(rule, m) && conditional(rule) == conditions
	})
}

// entersFor tells whether an entry rule is for a mapping's port.
func entersFor(rule ruleWords, m PortMapping) bool {
	return after(rule, "-p") == m.Protocol && slices.Contains(strings.Split(after(rule, "--dports"), ","), strconv.Itoa(int(m.HostPort)))
}

func entersForAny(rule ruleWords, mappings []PortMapping) bool {
	return slices.ContainsFunc(mappings, func(m PortMapping) bool { return entersFor(rule, m) })
}

// sharedDiffer looks for the jumps and the chains of marks. Another network may
// have changed the bit: it is the same in both chains then.
func (t savedTable) sharedDiffer(ports HostPorts) []string {
	var differences []string
	for _, j := range ports.jumps() {
		if len(t.to(j.from, j.to)) == 0 {
			differences = append(differences, fmt.Sprintf("chain %s has no jump to %s", j.from, j.to))
		}
	}
	if !ports.marks() {
		return differences
	}
	mark, _, _ := strings.Cut(t.option(setMarkChain, "--set-xmark"), "/")
	if mark == "" {
		differences = append(differences, "chain "+setMarkChain+" sets no mark")
	}
	if masqueraded, _, _ := strings.Cut(t.option(masqChain, "--mark"), "/"); masqueraded != mark {
		differences = append(differences, fmt.Sprintf("chain %s masquerades the mark %q, %s sets %q", masqChain, masqueraded, setMarkChain, mark))
	}
	return differences
}

// option returns the word after an option in the first rule of a chain that has
// it.
func (t savedTable) option(chain, option string) string {
	for _, rule := range t[chain] {
		if word := after(rule, option); word != "" {
			return word
		}
	}
	return ""
}

// CanMapPorts asks what masquerading asks.
func (b iptablesBackend) CanMapPorts(ctx context.Context) error { return b.Available(ctx) }
