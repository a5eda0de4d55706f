// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// portTable is the table that maps ports of the host for one family:
//
//	table ip cni_portmap {
//		map ports {
//			type inet_proto . inet_service : ipv4_addr . inet_service
//			elements = { tcp . 8080 comment "podman/c1/eth0" : 10.88.0.2 . 80 }
//		}
//		map addresses {
//			type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
//		}
//		set sources16 {
//			type ipv4_addr . inet_proto . inet_service . ipv4_addr
//			elements = { 10.88.0.2 . tcp . 80 . 10.88.0.0 comment "podman/c1/eth0" }
//		}
//		set sources8 {
//			type ipv4_addr . inet_proto . inet_service . ipv4_addr
//			elements = { 10.88.0.2 . tcp . 80 . 127.0.0.0 comment "podman/c1/eth0" }
//		}
//		chain prerouting {
//			type nat hook prerouting priority dstnat; policy accept;
//			fib daddr type local jump mappings
//		}
//		chain output {
//			type nat hook output priority dstnat; policy accept;
//			fib daddr type local jump mappings
//		}
//		chain mappings {
//			dnat ip to ip daddr . meta l4proto . th dport map @addresses
//			dnat ip to meta l4proto . th dport map @ports
//		}
//		chain postrouting {
//			type nat hook postrouting priority srcnat; policy accept;
//			ct status dnat jump masquerading
//		}
//		chain masquerading {
//			ip daddr . meta l4proto . th dport . ip saddr & 255.255.0.0 @sources16 masquerade
//			ip daddr . meta l4proto . th dport . ip saddr & 255.0.0.0 @sources8 masquerade
//		}
//	}
//
// It is a registry without records: what an attachment has follows from what it
// was asked to map, which is remembered elsewhere. (A transaction visits every
// chain there is. With a record for each of 10,000 attachments, an ADD would take
// half as long again.) Mappings with conditions are in maps of their own, one
// pair for each set of conditions ("ports-" and "addresses-" and a hash), which
// rules ahead of the others look into.
//
// Two networks can have the same subnet, and containers with the same address. What
// masquerades for the first is then in the set of all, and for the next in a set of
// its network ("sources16-" and a hash), so that each has what goes with it.
type portTable struct {
	*registry
	family
}

const (
	portsMap     = "ports"
	addressesMap = "addresses"
	sourcesOf    = "sources"

	mappingsChain     = "mappings"
	masqueradingChain = "masquerading"
)

// portMapTable is the name of our tables. Upstream's are called cni_hostport.
const portMapTable = "cni_portmap"

func (f family) portTable() portTable {
	return portTable{&registry{table: nftables.Table{Family: f.table, Name: portMapTable}}, f}
}

// mapped is what an element of the table stands for.
type mapped struct {
	entry
	mapping PortMapping // of an element of a map
}

// entry is an element with the value that a map has for it.
type entry struct {
	item
	value string
}

// Keys.

func port(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func (t portTable) mapEntry(class string, m PortMapping, container netip.Addr) entry {
	e := entry{value: concat(container.AsSlice(), port(m.ContainerPort))}
	proto := []byte{Protocols()[m.Protocol]}
	if m.Specific() {
		e.item = item{addressesMap + class, concat(m.HostIP.AsSlice(), proto, port(m.HostPort))}
	} else {
		e.item = item{portsMap + class, concat(proto, port(m.HostPort))}
	}
	return e
}

func sourceEntry(source netip.Prefix, container netip.Addr, proto byte, containerPort uint16) entry {
	key := concat(container.AsSlice(), []byte{proto}, port(containerPort), source.Addr().AsSlice())
	return entry{item: item{sourcesOf + strconv.Itoa(source.Bits()), key}}
}

// placed is an element where it is or belongs, with what the kernel has there.
type placed struct {
	mapped
	there *element
}

// sources returns whom the host masquerades for a container's address.
func (h HostPorts) sources(container netip.Prefix) []netip.Prefix {
	switch {
	case !h.SNAT:
		return nil
	case h.MasqAll:
		return []netip.Prefix{netip.PrefixFrom(container.Addr(), 0).Masked()}
	case container.Addr().Is4():
		return []netip.Prefix{container.Masked(), loopback()}
	}
	return []netip.Prefix{container.Masked(), netip.PrefixFrom(netip.IPv6Loopback(), 128)}
}

// loopback is IPv4's.
func loopback() netip.Prefix { return netip.MustParsePrefix("127.0.0.0/8") }

// entries returns the elements of an attachment, each once: a mapping can be given
// without a hostIP and with 0.0.0.0 as well, and the kernel refuses a transaction
// that deletes an element twice.
func (t portTable) entries(ports HostPorts) ([]mapped, error) {
	container, mappings := ports.of(t.family)
	conditions, err := t.compile(ports.conditions(t.family))
	if err != nil {
		return nil, err
	}
	var entries []mapped
	taken := map[item]bool{}
	add := func(e mapped) {
		if !taken[e.item] {
			taken[e.item] = true
			entries = append(entries, e)
		}
	}
	for _, m := range mappings {
		add(mapped{t.mapEntry(t.class(conditions), m, container.Addr()), m})
		for _, source := range ports.sources(container) {
			add(mapped{entry: sourceEntry(source, container.Addr(), Protocols()[m.Protocol], m.ContainerPort)})
		}
	}
	return entries, nil
}

// loadPort16 loads the destination port, which tcp, udp and sctp have in the
// same place.
func loadPort16(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

// dnat has what the kernel adds to it, so that it compares with what is listed.
func (t portTable) dnat(address, port uint32) expr.Any {
	return &expr.NAT{
		Type: expr.NATTypeDestNAT, Family: uint32(t.family.table), Specified: true,
		RegAddrMin: address, RegAddrMax: address, RegProtoMin: port, RegProtoMax: port,
	}
}

// The commands.

// MapPorts is one transaction for both families.
func (b nftBackend) MapPorts(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) error {
	return withConn(ctx, func(c *conn) error {
		if err := freeOfOthers(ctx, c, owner, ports, holders); err != nil {
			return err
		}
		err := c.retrying(ctx, func(c *conn) error { return putPorts(c, owner, ports, holders) })
		if errors.Is(err, unix.ENOENT) {
			return cmp.Or(b.CanMapPorts(ctx), err)
		}
		return err
	})
}

func putPorts(c *conn, owner plugin.Owner, ports HostPorts, holders Holders) error {
	var all []written
	for _, f := range families() {
		items, err := f.portTable().put(c, owner.Comment(), ports, holders)
		if err != nil {
			return f.portTable().wrap(err)
		}
		for _, i := range items {
			all = append(all, written{f.portTable(), i})
		}
	}
	if err := c.commit(); err != nil {
		return err
	}
	return confirm(c, owner.Comment(), all)
}

// written is an element that a transaction has added.
type written struct {
	portTable
	item item
}

// confirm returns EEXIST, as the kernel should have, if another has added an element
// after we had looked: to add one that is there is a success unless the values
// differ, and a set has none. If there was one transaction since c was opened, it was
// ours or, when all that we wanted to add was there, another's.
func confirm(c *conn, comment string, all []written) error {
	if len(all) == 0 {
		return nil
	}
	after, err := c.generation()
	if err != nil {
		return err
	}
	if after == c.opened+1 {
		all = all[:1]
	}
	for _, w := range all {
		there, err := c.element(w.set(w.item.set), []byte(w.item.key))
		if err != nil {
			return w.wrap(err)
		}
		if there == nil || there.comment != comment {
			return w.wrap(unix.EEXIST)
		}
	}
	return nil
}

// put queues the owner's elements and returns them. It queues only what differs
// from the kernel, and deletes nothing as a rule: see registry.put.
func (t portTable) put(c *conn, comment string, ports HostPorts, holders Holders) ([]item, error) {
	free := func(there *element) bool { return there == nil || there.comment == comment }
	entries, err := t.placedEntries(c, comment, ports, holders, free)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	if err := t.queueBase(c, ports, entries); err != nil {
		return nil, err
	}
	return t.queueEntries(c, comment, entries, holders)
}

// placedEntries returns the elements of an attachment where they are or belong, see
// places.
func (t portTable) placedEntries(c *conn, comment string, ports HostPorts, holders Holders, enough func(*element) bool) ([]placed, error) {
	places, err := t.places(c, comment, ports, enough)
	if err != nil {
		return nil, err
	}
	entries := make([]placed, len(places))
	for i, of := range places {
		entries[i] = t.place(comment, of, holders)
	}
	return entries, nil
}

// place returns where the owner has an element, or else the first place that is not
// another's, or the last.
func (t portTable) place(comment string, places []placed, holders Holders) placed {
	if i := slices.IndexFunc(places, func(p placed) bool { return p.isOf(comment) }); i >= 0 {
		return places[i]
	}
	for _, p := range places {
		if p.there == nil || t.isGone(comment, p.there, p.mapped, holders) {
			return p
		}
	}
	return places[len(places)-1]
}

func (p placed) isOf(comment string) bool { return p.there != nil && p.there.comment == comment }

// places returns for each element of an attachment where it may be, with what is
// there: what masquerades, also apart from that of other networks, unless what is in
// the first place is enough.
func (t portTable) places(c *conn, comment string, ports HostPorts, enough func(*element) bool) ([][]placed, error) {
	entries, err := t.entries(ports)
	if err != nil {
		return nil, err
	}
	all := make([][]placed, len(entries))
	apart := rulename.Hash(17, "-", networkIn(comment))
	exists := map[string]bool{} // of sets apart: the kernel is asked about each once
	for i, e := range entries {
		there, err := c.element(t.set(e.set), []byte(e.key))
		all[i] = []placed{{e, there}}
		if err == nil && e.value == "" && !enough(there) {
			e.set += apart
			there, err = t.elementApart(c, e.item, exists)
			all[i] = append(all[i], placed{e, there})
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (t portTable) elementApart(c *conn, at item, exists map[string]bool) (*element, error) {
	if _, asked := exists[at.set]; !asked {
		there, err := c.hasSet(t.set(at.set))
		if err != nil {
			return nil, err
		}
		exists[at.set] = there
	}
	if !exists[at.set] {
		return nil, nil
	}
	return c.element(t.set(at.set), []byte(at.key))
}

// queueRemoval queues the deletion of what the owner with a comment has of ports,
// or without ports, of all elements, and returns that.
func (t portTable) queueRemoval(c *conn, comment string, ports *HostPorts) ([]item, error) {
	items, err := t.ownItems(c, comment, ports)
	if err != nil {
		return nil, err
	}
	bySet := map[string][]nftables.SetElement{}
	for _, i := range items {
		bySet[i.set] = append(bySet[i.set], nftables.SetElement{Key: []byte(i.key)})
	}
	for _, set := range slices.Sorted(maps.Keys(bySet)) {
		if err := c.deleteElements(t.set(set), bySet[set]); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func (t portTable) ownItems(c *conn, comment string, ports *HostPorts) ([]item, error) {
	if ports == nil {
		return t.itemsOf(c, func(other string) bool { return other == comment })
	}
	never := func(*element) bool { return false } // a second ADD may have found the first place free
	places, err := t.places(c, comment, *ports, never)
	if err != nil {
		return nil, err
	}
	var items []item
	for _, p := range slices.Concat(places...) {
		if p.isOf(comment) {
			items = append(items, p.item)
		}
	}
	return items, nil
}

// queueEntries queues elements with the owner's comment, as far as nobody's are
// there that do as well, and returns them. What is in the way of a holder that is
// gone goes first.
func (t portTable) queueEntries(c *conn, comment string, entries []placed, holders Holders) (queued []item, err error) {
	removed := map[string]bool{}
	missing := map[string][]nftables.SetElement{} // by set
	for _, e := range entries {
		switch there := e.there; {
		case there == nil:
		case there.comment == comment && there.value == e.value:
			continue
		case there.comment == comment:
			err = c.deleteElement(t.set(e.set), e.key)
		case t.serves(comment, there, e.mapped, holders):
			continue
		default:
			err = t.queueEviction(c, comment, there, e.mapped, removed, holders)
		}
		if err != nil {
			return nil, err
		}
		missing[e.set] = append(missing[e.set], nftables.SetElement{Key: []byte(e.key), Val: []byte(e.value), Comment: comment})
		queued = append(queued, e.item)
	}
	return queued, t.queueMissing(c, missing)
}

func (t portTable) queueMissing(c *conn, bySet map[string][]nftables.SetElement) error {
	for _, name := range slices.Sorted(maps.Keys(bySet)) {
		set := t.set(name)
		set.IsMap = len(bySet[name][0].Val) > 0
		if err := c.addElements(set, bySet[name]); err != nil {
			return err
		}
	}
	return nil
}

// queueEviction queues the removal of all that a holder has who is gone.
func (t portTable) queueEviction(c *conn, comment string, there *element, e mapped, removed map[string]bool, holders Holders) error {
	if !t.isGone(comment, there, e, holders) {
		return plugin.Errorf(errTryAgainLater, "%w", errHeldBy(e.mapping, there.comment))
	}
	if removed[there.comment] {
		return nil
	}
	removed[there.comment] = true
	_, err := t.queueRemoval(c, there.comment, nil)
	return err
}

// serves tells whether an element of a holder that is not gone serves the owner
// with the comment, too: one of another interface of the same container, of which
// the first has the port.
func (t portTable) serves(comment string, there *element, e mapped, holders Holders) bool {
	return containerIn(there.comment) == containerIn(comment) && !t.isGone(comment, there, e, holders)
}

// isGone tells whether the holder of an element provably is gone.
func (t portTable) isGone(comment string, there *element, e mapped, holders Holders) bool {
	return t.addressPassedOn(comment, there, e) || holders.Gone(there.comment)
}

// addressPassedOn tells whether the owner of an element has lost its address to
// the owner with the comment, in the same network: then it is gone. Elements that
// masquerade have the address in their key.
func (t portTable) addressPassedOn(comment string, there *element, e mapped) bool {
	address := min(int(t.address.Bytes), len(e.value))
	return networkIn(there.comment) == networkIn(comment) && len(there.value) >= address && there.value[:address] == e.value[:address]
}

// errTryAgainLater is the CNI error code for what somebody else may soon give up.
const errTryAgainLater = 11

// CheckPorts reads the owner's elements and the rules.
func (nftBackend) CheckPorts(ctx context.Context, owner plugin.Owner, ports HostPorts, holders Holders) ([]string, error) {
	var all []string
	err := withConn(ctx, func(c *conn) error {
		for _, f := range families() {
			t := f.portTable()
			differences, err := t.portDifferences(c, owner.Comment(), ports, holders)
			if err != nil {
				return t.wrap(err)
			}
			for _, difference := range differences {
				all = append(all, t.String()+": "+difference)
			}
		}
		return nil
	})
	return all, err
}

func (t portTable) portDifferences(c *conn, comment string, ports HostPorts, holders Holders) ([]string, error) {
	ours := func(there *element) bool { return there != nil && there.comment == comment }
	entries, err := t.placedEntries(c, comment, ports, holders, ours)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	differences, err := t.baseDifferences(c, ports, entries)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch there := e.there; {
		case there == nil:
			differences = append(differences, e.describe()+" is missing")
		case there.comment != comment && t.serves(comment, there, e.mapped, holders):
		case there.comment != comment:
			differences = append(differences, e.describe()+" belongs to "+there.comment)
		case there.value != e.value:
			differences = append(differences, e.describe()+" leads elsewhere")
		}
	}
	return differences, nil
}

func (e mapped) describe() string {
	if e.value == "" {
		return "the masquerading in set " + e.set
	}
	return e.mapping.String() + " in map " + e.set
}

// RestorePorts is a transaction for each attachment.
func (b nftBackend) RestorePorts(ctx context.Context, all []OwnedPorts, holders Holders) ([]plugin.Owner, error) {
	return mapEach(ctx, b, all, holders)
}

// CanMapPorts probes a table that maps a port.
func (nftBackend) CanMapPorts(ctx context.Context) error {
	t := families()[0].portTable()
	return probe(ctx, errNoNFTPortMap, []*registry{t.registry}, func(c *conn, _ *registry) error {
		for _, chain := range t.sharedChains(nil, nil) {
			if err := t.queueChain(c, chain, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

var errNoNFTPortMap = errors.New("nftables cannot map ports: load the modules nft_chain_nat, nft_nat, nft_masq, nft_fib_ipv4 and nft_ct " +
	"(CONFIG_NFT_NAT, CONFIG_NFT_MASQ, CONFIG_NFT_FIB_IPV4, CONFIG_NFT_CT)")

// Chains that all owners share.

// sharedChain is a chain and what has to be in it.
type sharedChain struct {
	nftables.Chain
	rules [][]expr.Any
}

// sharedChains returns the shared chains: mappings and masquerading with the
// rules of their own and those given ahead of them.
func (t portTable) sharedChains(mappings, masquerading [][]expr.Any) []sharedChain {
	policy := nftables.ChainPolicyAccept
	hook := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority, rule []expr.Any) sharedChain {
		return sharedChain{
			nftables.Chain{Name: name, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: priority, Policy: &policy},
			[][]expr.Any{rule},
		}
	}
	toMappings := append(isLocal(), jumpTo(mappingsChain))
	toMasquerading := append(isTranslated(), jumpTo(masqueradingChain))
	return []sharedChain{
		{nftables.Chain{Name: mappingsChain}, append(slices.Clip(mappings), t.lookups(nil)...)},
		{nftables.Chain{Name: masqueradingChain}, append(slices.Clip(masquerading), t.sourceLookup(sourcesOf+"0", 0))},
		hook("prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, toMappings),
		hook("output", nftables.ChainHookOutput, nftables.ChainPriorityNATDest, toMappings),
		hook("postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, toMasquerading),
	}
}

// isLocal matches what goes to an address of the host: what it merely forwards
// is none of our business.
func isLocal() []expr.Any {
	const rtnLocal = unix.RTN_LOCAL
	return []expr.Any{
		&expr.Fib{Register: unix.NFT_REG_1, ResultADDRTYPE: true, FlagDADDR: true},
		equals(binaryutil.NativeEndian.PutUint32(rtnLocal)),
	}
}

// isTranslated matches connections whose destination was translated.
func isTranslated() []expr.Any {
	const ipsDstNAT = 1 << 5 // IPS_DST_NAT
	return []expr.Any{
		&expr.Ct{Register: unix.NFT_REG_1, Key: expr.CtKeySTATUS},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(ipsDstNAT), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: make([]byte, 4)},
	}
}

// word returns the register that begins n words of four bytes after the first.
func word(n uint32) uint32 {
	if n%4 == 0 {
		return unix.NFT_REG_1 + n/4
	}
	return unix.NFT_REG32_00 + n
}

// lookups returns the rules that look packets up in the maps of a set of
// conditions.
func (t portTable) lookups(conditions []expr.Any) [][]expr.Any {
	class, address := t.class(conditions), t.address.Bytes/4
	toMap := func(name string) []expr.Any {
		return []expr.Any{
			&expr.Lookup{SourceRegister: word(0), DestRegister: word(0), IsDestRegSet: true, SetName: name},
			t.dnat(word(0), word(address)),
		}
	}
	protocolAndPort := func(n uint32) []expr.Any {
		return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: word(n)}, loadPort16(word(n + 1))}
	}
	return [][]expr.Any{
		slices.Concat(conditions, []expr.Any{t.load(t.daddr, word(0))}, protocolAndPort(address), toMap(addressesMap+class)),
		slices.Concat(conditions, protocolAndPort(0), toMap(portsMap+class)),
	}
}

// sourceLookup returns the rule that masquerades for the sources in a set, which
// are of one length.
func (t portTable) sourceLookup(set string, bits int) []expr.Any {
	address := t.address.Bytes / 4
	return slices.Concat(
		[]expr.Any{t.load(t.daddr, word(0)), &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: word(address)}, loadPort16(word(address + 1))},
		t.prefixOf(t.saddr, word(address+2), bits),
		[]expr.Any{lookup(set), &expr.Masq{}})
}

// queueBase queues what the shared chains lack for an attachment: an "nft
// flush" is mended by the next ADD. Of two first ADDs at once one fails, because
// the table is there when it commits, and finds the chains when it tries again.
func (t portTable) queueBase(c *conn, ports HostPorts, entries []placed) error {
	exists, err := c.hasTable(&t.registry.table) // before the chains are read
	if err != nil {
		return err
	}
	if !exists {
		if err := stopAtFlush(c.ctx); err != nil {
			return err
		}
		c.CreateTable(&t.registry.table)
	}
	return t.eachChain(c, ports, entries, func(chain sharedChain, there []*nftables.Rule) error {
		if sameRules(there, chain.rules) {
			return nil
		}
		return t.queueChain(c, chain, there)
	})
}

func (t portTable) baseDifferences(c *conn, ports HostPorts, entries []placed) ([]string, error) {
	var differences []string
	err := t.eachChain(c, ports, entries, func(chain sharedChain, there []*nftables.Rule) error {
		if !sameRules(there, chain.rules) {
			differences = append(differences, "the rules of chain "+chain.Name+" are not those that were written")
		}
		return nil
	})
	return differences, err
}

// eachChain calls f with each shared chain as it should be and as it is.
func (t portTable) eachChain(c *conn, ports HostPorts, entries []placed, f func(sharedChain, []*nftables.Rule) error) error {
	there := map[string][]*nftables.Rule{}
	for _, chain := range t.sharedChains(nil, nil) {
		rules, err := c.GetRules(&t.registry.table, t.chain(chain.Name))
		if err != nil {
			return explain(err)
		}
		there[chain.Name] = rules
	}
	conditions, err := t.compile(ports.conditions(t.family))
	if err != nil {
		return err
	}
	mappings := t.conditional(there[mappingsChain], conditions)
	masquerading := t.sourceLookups(there[masqueradingChain], entries)
	for _, chain := range t.sharedChains(mappings, masquerading) {
		if err := f(chain, there[chain.Name]); err != nil {
			return err
		}
	}
	return nil
}

// conditional returns the lookups with conditions that are there, with those for
// further conditions, which may be none.
func (t portTable) conditional(there []*nftables.Rule, conditions []expr.Any) [][]expr.Any {
	classes := map[string][]expr.Any{}
	if len(conditions) > 0 {
		classes[t.class(conditions)] = conditions
	}
	for _, rule := range there {
		unconditional := len(t.lookups(nil)[1])
		if len(rule.Exprs) <= unconditional {
			continue
		}
		found := rule.Exprs[:len(rule.Exprs)-unconditional]
		if t.class(found) == strings.TrimPrefix(lookupIn(rule), portsMap) {
			classes[t.class(found)] = found
		}
	}
	var rules [][]expr.Any
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		rules = append(rules, t.lookups(classes[class])...)
	}
	return rules
}

// sourceLookups returns the lookups in the sets that are there or needed, but for
// the one of length 0, which every chain has.
func (t portTable) sourceLookups(there []*nftables.Rule, entries []placed) [][]expr.Any {
	lengths := map[string]int{} // by set
	note := func(set string) {
		if bits, ok := t.lengthIn(set); ok && set != sourcesOf+"0" {
			lengths[set] = bits
		}
	}
	for _, rule := range there {
		note(lookupIn(rule))
	}
	for _, e := range entries {
		note(e.set)
	}
	shortestFirst := func(a, b string) int { return cmp.Or(cmp.Compare(lengths[a], lengths[b]), cmp.Compare(a, b)) }
	var rules [][]expr.Any
	for _, set := range slices.SortedFunc(maps.Keys(lengths), shortestFirst) {
		rules = append(rules, t.sourceLookup(set, lengths[set]))
	}
	return rules
}

// lengthIn returns the length of the sources in a set, if it has any.
func (t portTable) lengthIn(set string) (bits int, ok bool) {
	rest, ok := strings.CutPrefix(set, sourcesOf)
	length, _, _ := strings.Cut(rest, "-")
	bits, err := strconv.Atoi(length)
	return bits, ok && err == nil && bits >= 0 && bits <= int(t.address.Bytes)*8
}

// queueChain queues a chain with the sets that its rules look into. The rules
// that are there are deleted one by one: of two that change a chain at the same
// time, one fails for it and tries again. Of two that fill an empty chain, the
// second replaces what the first has written.
func (t portTable) queueChain(c *conn, chain sharedChain, there []*nftables.Rule) error {
	for _, rule := range there {
		if err := c.DelRule(rule); err != nil {
			return err
		}
	}
	chain.Table = &t.registry.table
	c.AddChain(&chain.Chain)
	if len(there) == 0 {
		c.FlushChain(&chain.Chain)
	}
	for _, rule := range chain.rules {
		listed := &nftables.Rule{Table: &t.registry.table, Chain: &chain.Chain, Exprs: rule}
		if set := lookupIn(listed); set != "" {
			if err := t.queueMap(c, set); err != nil {
				return err
			}
		}
		c.AddRule(listed)
	}
	return nil
}

// queueMap queues a set or map by its name.
func (t portTable) queueMap(c *conn, name string) error {
	set := t.set(name)
	set.ID = 1 // as in queueSet
	set.Concatenation = true
	set.KeyByteOrder = binaryutil.BigEndian
	service := []nftables.SetDatatype{nftables.TypeInetProto, nftables.TypeInetService}
	switch {
	case strings.HasPrefix(name, sourcesOf):
		set.KeyType = nftables.MustConcatSetType(t.address, service[0], service[1], t.address)
		return c.AddSet(set, nil)
	case strings.HasPrefix(name, addressesMap):
		set.KeyType = nftables.MustConcatSetType(t.address, service[0], service[1])
	default:
		set.KeyType = nftables.MustConcatSetType(service...)
	}
	set.IsMap = true
	set.DataType = nftables.MustConcatSetType(t.address, nftables.TypeInetService)
	return c.AddSet(set, nil)
}
