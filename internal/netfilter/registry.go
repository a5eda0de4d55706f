// SPDX-License-Identifier: Apache-2.0

package netfilter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils"
)

// registry is a table of ours whose rules look packets up in sets, to which each
// attachment adds its elements:
//
//	table ip cni_masquerade {
//		set sources {
//			type ipv4_addr
//			elements = { 10.88.0.2 comment "podman/c1/eth0" }
//		}
//		set subnets16 {
//			type ipv4_addr . ipv4_addr
//			elements = { 10.88.0.2 . 10.88.0.0 comment "podman/c1/eth0" }
//		}
//		chain postrouting {
//			type nat hook postrouting priority srcnat; policy accept;
//			ip saddr . ip daddr & 255.255.0.0 @subnets16 return
//			ip daddr 224.0.0.0/4 return
//			ip saddr @sources masquerade
//		}
//		chain owner/podman/c1/eth0 {
//			ip saddr 10.88.0.2 ip daddr 10.88.0.0/16 comment "podman/c1/eth0"
//		}
//	}
//
// An attachment has pairs: a subject, which its packets are known by, and a
// companion. Subjects are in one set; pairs are in as many as the base chain has
// rules for, one for each length of subnets above.
//
// No packet comes to the chain of an owner. It is the owner's record: a rule for
// each pair, from which the elements follow. So an attachment is found and
// removed without listing the others, and neither packets nor changes cost more
// the more attachments there are. (Verdict maps would be shorter, but with every
// new element the kernel follows all of a map's jumps in search of loops.)
//
// A subject belongs to whom it was given last. Who takes it over deletes the
// rules of it from the record of its last owner, so that a removal under way,
// which deletes the rules it has read, fails as a whole and is planned anew: see
// retrying.
//
// What owners share, the table, the sets and the base chain, is put right by
// every put and never removed: it has no effect while the sets are empty, and
// removing it would race with the next ADD.
type registry struct {
	table    nftables.Table
	subjects string               // name of the set
	subject  nftables.SetDatatype // type of its keys
	base     nftables.Chain       // Table is filled in
	last     [][]expr.Any         // rules of the base chain after those for pairs
	always   []pairSet            // sets of pairs that are there from the start

	pairOf func(record []expr.Any) (pair, bool) // what a rule of a record says
	named  func(set string) (pairSet, bool)     // a set of pairs by its name
}

// pair is what an attachment has in a registry.
type pair struct {
	subject   []byte
	companion []byte
	set       pairSet
	record    []expr.Any // the rule that pairOf understands
}

// pairSet is a set of pairs and the rule of the base chain that uses it.
type pairSet struct {
	name      string
	companion nftables.SetDatatype
	rule      []expr.Any
}

// item is one element of one set.
type item struct {
	set string
	key string
}

func (r *registry) String() string {
	return fmt.Sprintf("table %s %s", familyName(r.table.Family), r.table.Name)
}

func familyName(family nftables.TableFamily) string {
	switch family {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	case nftables.TableFamilyBridge:
		return "bridge"
	}
	return "inet"
}

// printable returns the key of an item as nft lists it.
func (r *registry) printable(i item) string {
	subject, companion := i.key[:r.subject.Bytes], i.key[r.subject.Bytes:]
	if set, ok := r.named(i.set); ok {
		return show(r.subject, subject) + " . " + show(set.companion, companion)
	}
	return show(r.subject, subject)
}

func show(datatype nftables.SetDatatype, key string) string {
	switch datatype {
	case nftables.TypeIFName:
		return strings.TrimRight(key, "\x00")
	case nftables.TypeEtherAddr:
		return net.HardwareAddr(key[:datatype.Bytes]).String()
	}
	addr, _ := netip.AddrFromSlice([]byte(key))
	return addr.String()
}

// wrap says to which table an error belongs.
func (r *registry) wrap(err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	return nil
}

// set names a set of the table for everything but its creation.
func (r *registry) set(name string) *nftables.Set {
	return &nftables.Set{Table: &r.table, Name: name}
}

func (r *registry) chain(name string) *nftables.Chain {
	return &nftables.Chain{Name: name, Table: &r.table}
}

// recordChain returns the name of an owner's chain: the owner's comment, if nft
// can read that as a name.
func (r *registry) recordChain(comment string) *nftables.Chain {
	const prefix = "owner/"
	readable := func(c rune) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("/-_.", c)
	}
	if strings.TrimFunc(comment, readable) == "" {
		return r.chain(prefix + comment)
	}
	return r.chain(utils.MustFormatHashWithPrefix(len(prefix)+20, prefix, comment))
}

// items returns the elements of pairs.
func (r *registry) items(pairs []pair) []item {
	var items []item
	for _, p := range pairs {
		items = append(items, item{r.subjects, string(p.subject)}, item{p.set.name, concat(p.subject, p.companion)})
	}
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.set+a.key, b.set+b.key) })
	return slices.Compact(items)
}

// concat returns the key of a set with a concatenated type, whose parts fill
// registers of four bytes.
func concat(parts ...[]byte) string {
	var key []byte
	for _, part := range parts {
		key = append(key, part...)
		key = append(key, make([]byte, -len(part)&3)...)
	}
	return string(key)
}

// held is the record of an owner as the kernel has it.
type held struct {
	rules []*nftables.Rule
	pairs []pair // of each rule, the zero pair for one that is not ours
}

func (r *registry) held(c *conn, comment string) (held, error) {
	rules, err := c.GetRules(&r.table, r.recordChain(comment))
	h := held{rules: rules}
	for _, rule := range rules {
		p, _ := r.pairOf(rule.Exprs)
		h.pairs = append(h.pairs, p)
	}
	return h, explain(err)
}

// known returns the pairs that were understood.
func (h held) known() []pair {
	return slices.DeleteFunc(slices.Clone(h.pairs), func(p pair) bool { return p.subject == nil })
}

// put queues what makes pairs the owner's only ones. It queues only what differs
// from the kernel, and deletes nothing as a rule. That is more than tidiness: a
// socket whose transactions deleted something takes an RCU grace period to
// close, some ten milliseconds, in which nobody else can change the ruleset
// (nft_rcv_nl_event).
func (r *registry) put(c *conn, comment string, pairs []pair, attempt int) error {
	if err := r.queueBase(c, pairs); err != nil {
		return err
	}
	old, err := r.held(c, comment)
	if err != nil {
		return err
	}
	items, chain := r.items(pairs), r.recordChain(comment)
	if !sameRules(old.rules, records(pairs)) {
		obsolete := slices.DeleteFunc(r.items(old.known()), func(i item) bool { return slices.Contains(items, i) })
		if err := r.queueDeletions(c, old.rules, obsolete, attempt); err != nil {
			return err
		}
		c.AddChain(chain)
		for _, p := range pairs {
			c.AddRule(&nftables.Rule{Table: &r.table, Chain: chain, Exprs: p.record, UserData: withComment(comment)})
		}
	}
	return r.queueElements(c, comment, items, attempt)
}

func records(pairs []pair) [][]expr.Any {
	rules := make([][]expr.Any, len(pairs))
	for i, p := range pairs {
		rules[i] = p.record
	}
	return rules
}

// queueElements queues elements with the owner's comment, as far as they are not
// there, and takes over those of other owners.
func (r *registry) queueElements(c *conn, comment string, items []item, attempt int) error {
	for _, i := range items {
		there, err := c.element(r.set(i.set), []byte(i.key))
		if err != nil {
			return err
		}
		if there != nil && there.comment == comment {
			continue
		}
		if there != nil {
			if err := r.queueEviction(c, there.comment, i, items, attempt); err != nil {
				return err
			}
		}
		if err := c.SetAddElements(r.set(i.set), []nftables.SetElement{{Key: []byte(i.key), Comment: comment}}); err != nil {
			return err
		}
	}
	return nil
}

// queueEviction queues the deletion of an element of another owner. With a
// subject goes what that owner has recorded of it, but for the items that are
// taken over as well, and the owner's chain with its last rule.
func (r *registry) queueEviction(c *conn, comment string, i item, takenOver []item, attempt int) error {
	if i.set != r.subjects {
		return r.queueElementDeletions(c, []item{i})
	}
	theirs, err := r.held(c, comment)
	if err != nil {
		return err
	}
	var rules []*nftables.Rule
	var pairs []pair
	for n, p := range theirs.pairs {
		if string(p.subject) == i.key {
			rules, pairs = append(rules, theirs.rules[n]), append(pairs, p)
		}
	}
	items := slices.DeleteFunc(r.items(pairs), func(other item) bool { return slices.Contains(takenOver, other) })
	if err := r.queueDeletions(c, rules, append(items, i), attempt); err != nil {
		return err
	}
	if len(rules) > 0 && len(rules) == len(theirs.rules) {
		c.DelChain(r.recordChain(comment))
	}
	return nil
}

// queueDeletions queues the deletion of rules and of elements. Elements that the
// record promises may have gone: after a failure, each is looked for.
func (r *registry) queueDeletions(c *conn, rules []*nftables.Rule, items []item, attempt int) error {
	for _, rule := range rules {
		if err := c.DelRule(rule); err != nil {
			return err
		}
	}
	if attempt > 0 {
		var err error
		items = slices.DeleteFunc(items, func(i item) bool {
			there, getErr := c.element(r.set(i.set), []byte(i.key))
			err = errors.Join(err, getErr)
			return there == nil
		})
		if err != nil {
			return err
		}
	}
	return r.queueElementDeletions(c, items)
}

func (r *registry) queueElementDeletions(c *conn, items []item) error {
	var errs []error
	for _, i := range items {
		errs = append(errs, c.SetDeleteElements(r.set(i.set), []nftables.SetElement{{Key: []byte(i.key)}}))
	}
	return errors.Join(errs...)
}

// remove removes what the owner with a comment has recorded.
func (r *registry) remove(ctx context.Context, comment string) error {
	err := retrying(ctx, func(c *conn, attempt int) error {
		if err := r.queueRemoval(c, comment, attempt); err != nil {
			return err
		}
		return c.commit()
	})
	return r.wrap(err)
}

func (r *registry) queueRemoval(c *conn, comment string, attempt int) error {
	chain := r.recordChain(comment)
	if exists, err := c.hasChain(&r.table, chain.Name); !exists {
		return err
	}
	h, err := r.held(c, comment)
	if err != nil {
		return err
	}
	items := r.items(h.known())
	if len(h.rules) == 0 { // somebody has flushed the record
		if items, err = r.itemsOf(c, func(other string) bool { return other == comment }); err != nil {
			return err
		}
	}
	if err := r.queueDeletions(c, h.rules, items, attempt); err != nil {
		return err
	}
	c.DelChain(chain)
	return nil
}

// itemsOf lists all sets of the table and returns the elements whose comments
// are selected.
func (r *registry) itemsOf(c *conn, selected func(comment string) bool) ([]item, error) {
	var items []item
	err := r.eachElement(c, func(set string, e element) {
		if selected(e.comment) {
			items = append(items, item{set, string(e.key)})
		}
	})
	return items, err
}

func (r *registry) eachElement(c *conn, f func(set string, e element)) error {
	sets, err := c.sets(&r.table)
	if err != nil {
		return err
	}
	for _, set := range sets {
		elements, err := c.elements(r.set(set))
		if err != nil {
			return err
		}
		for _, e := range elements {
			f(set, e)
		}
	}
	return nil
}

// gc removes what attachments of the network have left that are not valid any
// more: by their records, and then the elements that nobody has recorded. It goes
// on after an error.
func (r *registry) gc(ctx context.Context, attachments plugin.Attachments) error {
	var comments []string
	err := withConn(ctx, func(c *conn) error {
		return c.stable(func() (err error) {
			comments, err = r.comments(c)
			return err
		})
	})
	errs := []error{r.wrap(err)}
	for _, comment := range comments {
		if attachments.StaleComment(comment) {
			errs = append(errs, r.remove(ctx, comment))
		}
	}
	return errors.Join(append(errs, r.gcElements(ctx, attachments))...)
}

// comments returns the comments of all owners that have a record or an element.
func (r *registry) comments(c *conn) ([]string, error) {
	comments, err := c.ruleComments(&r.table)
	if err != nil {
		return nil, err
	}
	err = r.eachElement(c, func(_ string, e element) { comments = append(comments, e.comment) })
	slices.Sort(comments)
	return slices.Compact(comments), err
}

func (r *registry) gcElements(ctx context.Context, attachments plugin.Attachments) error {
	err := retrying(ctx, func(c *conn, _ int) error {
		items, err := r.itemsOf(c, attachments.StaleComment)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(items, maxDeletions) {
			if err := errors.Join(r.queueElementDeletions(c, some), c.commit()); err != nil {
				return err
			}
		}
		return nil
	})
	return r.wrap(err)
}

// maxDeletions bounds the size of a transaction.
const maxDeletions = 500

// queueBase queues the objects that all owners share, as far as they are not
// there: an "nft flush" is mended by the next ADD.
func (r *registry) queueBase(c *conn, pairs []pair) error {
	needed := slices.Clone(r.always)
	for _, p := range pairs {
		needed = append(needed, p.set)
	}
	rules, err := c.GetRules(&r.table, r.baseChain())
	if err != nil {
		return explain(err)
	}
	if !r.soundBase(rules) {
		return r.queueNewBase(c, needed)
	}
	for _, set := range distinct(needed) {
		if hasRule(rules, set.rule) {
			continue
		}
		if err := r.queueSet(c, set.name, set.companion); err != nil {
			return err
		}
		c.InsertRule(&nftables.Rule{Table: &r.table, Chain: r.baseChain(), Exprs: set.rule})
	}
	return nil
}

func distinct(sets []pairSet) []pairSet {
	byName := func(a, b pairSet) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(sets, byName)
	return slices.CompactFunc(sets, func(a, b pairSet) bool { return a.name == b.name })
}

func (r *registry) baseChain() *nftables.Chain {
	chain := r.base
	chain.Table = &r.table
	return &chain
}

// soundBase tells whether the base chain ends as it should and has only rules of
// sets of pairs ahead of that, each once.
func (r *registry) soundBase(rules []*nftables.Rule) bool {
	lookups := len(rules) - len(r.last)
	if lookups < 0 || !sameRules(rules[lookups:], r.last) {
		return false
	}
	seen := map[string]bool{}
	for _, rule := range rules[:lookups] {
		set, known := r.named(lookupIn(rule))
		if !known || seen[set.name] || !sameRule(rule, set.rule) {
			return false
		}
		seen[set.name] = true
	}
	return true
}

// lookupIn returns the name of the set that a rule consults, or "".
func lookupIn(rule *nftables.Rule) string {
	for _, e := range rule.Exprs {
		if lookup, ok := e.(*expr.Lookup); ok {
			return lookup.SetName
		}
	}
	return ""
}

func hasRule(rules []*nftables.Rule, exprs []expr.Any) bool {
	return slices.ContainsFunc(rules, func(rule *nftables.Rule) bool { return sameRule(rule, exprs) })
}

// queueNewBase queues the table, its sets and all of the base chain. Of two first
// ADDs at once one fails, because the table is there when it commits, and finds
// a sound base when it tries again.
func (r *registry) queueNewBase(c *conn, needed []pairSet) error {
	exists, err := c.hasTable(&r.table)
	if err != nil {
		return err
	}
	if !exists {
		c.CreateTable(&r.table)
	}
	existing, err := c.sets(&r.table)
	if err != nil {
		return err
	}
	for _, set := range existing {
		if known, ok := r.named(set); ok {
			needed = append(needed, known)
		}
	}
	return r.queueWholeBase(c, distinct(needed))
}

func (r *registry) queueWholeBase(c *conn, sets []pairSet) error {
	if err := r.queueSet(c, r.subjects); err != nil {
		return err
	}
	c.AddChain(r.baseChain())
	c.FlushChain(r.baseChain())
	var rules [][]expr.Any
	for _, set := range sets {
		if err := r.queueSet(c, set.name, set.companion); err != nil {
			return err
		}
		rules = append(rules, set.rule)
	}
	for _, rule := range append(rules, r.last...) {
		c.AddRule(&nftables.Rule{Table: &r.table, Chain: r.baseChain(), Exprs: rule})
	}
	return nil
}

// queueSet queues a set of subjects or, with the type of a companion, of pairs.
func (r *registry) queueSet(c *conn, name string, companion ...nftables.SetDatatype) error {
	set := r.set(name)
	set.ID = 1 // any: our rules name their sets. For 0 the package would change a variable of its own
	set.KeyType = r.subject
	set.KeyByteOrder = binaryutil.BigEndian
	if r.subject == nftables.TypeIFName {
		set.KeyByteOrder = binaryutil.NativeEndian // for nft, which lists the keys by it
	}
	if len(companion) > 0 {
		set.Concatenation = true
		set.KeyType = nftables.MustConcatSetType(r.subject, companion[0])
	}
	return c.AddSet(set, nil)
}

// differences compares the kernel with what put would write.
func (r *registry) differences(c *conn, comment string, pairs []pair) ([]string, error) {
	var differences []string
	differ := func(format string, args ...any) {
		differences = append(differences, r.String()+": "+fmt.Sprintf(format, args...))
	}
	base, err := c.GetRules(&r.table, r.baseChain())
	if err != nil {
		return nil, explain(err)
	}
	if !r.soundBase(base) {
		differ("the rules of chain %s are not those that were written", r.base.Name)
	}
	own, err := r.held(c, comment)
	if err != nil {
		return nil, err
	}
	if !sameRules(own.rules, records(pairs)) {
		differ("chain %s does not have the record that was written", r.recordChain(comment).Name)
	}
	for _, p := range pairs {
		if !hasRule(base, p.set.rule) {
			differ("chain %s has no rule for set %s", r.base.Name, p.set.name)
		}
	}
	for _, i := range r.items(pairs) {
		there, err := c.element(r.set(i.set), []byte(i.key))
		switch {
		case err != nil:
			return nil, err
		case there == nil:
			differ("set %s lacks %s", i.set, r.printable(i))
		case there.comment != comment:
			differ("%s in set %s belongs to %s", r.printable(i), i.set, there.comment)
		}
	}
	return differences, nil
}

// sameRules compares the rules of a chain with what they should be.
func sameRules(got []*nftables.Rule, want [][]expr.Any) bool {
	return slices.EqualFunc(got, want, sameRule)
}

func sameRule(got *nftables.Rule, want []expr.Any) bool { return reflect.DeepEqual(got.Exprs, want) }
