// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/nftcomment"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
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
// rules for, one for each length of subnets above. A subject may also come alone.
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
	set       pairSet    // zero for a subject without a companion
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
	return r.chain(rulename.Hash(len(prefix)+20, prefix, comment))
}

// items returns the elements of pairs.
func (r *registry) items(pairs []pair) []item {
	var items []item
	for _, p := range pairs {
		items = append(items, item{r.subjects, string(p.subject)})
		if p.set.name != "" {
			items = append(items, item{p.set.name, concat(p.subject, p.companion)})
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return strings.Compare(a.set+a.key, b.set+b.key) })
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
func (r *registry) put(c *conn, comment string, pairs []pair) error {
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
		if err := r.queueDeletions(c, comment, old.rules, obsolete); err != nil {
			return err
		}
		c.AddChain(chain)
		if len(old.rules) == 0 {
			c.FlushChain(chain) // of two that write it at once, an ADD and who heals, the second replaces what the first has written
		}
		for _, p := range pairs {
			c.AddRule(&nftables.Rule{Table: &r.table, Chain: chain, Exprs: p.record, UserData: nftcomment.UserData(comment)})
		}
	}
	return r.queueElements(c, comment, items)
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
func (r *registry) queueElements(c *conn, comment string, items []item) error {
	for _, i := range items {
		there, err := c.element(r.set(i.set), []byte(i.key))
		if err != nil {
			return err
		}
		if there != nil && there.comment == comment {
			continue
		}
		if there != nil {
			if err := r.queueEviction(c, there.comment, i, items); err != nil {
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
func (r *registry) queueEviction(c *conn, comment string, i item, takenOver []item) error {
	if i.set != r.subjects {
		return c.deleteElement(r.set(i.set), i.key)
	}
	noteTakeover(c.ctx, i.key)
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
	if err := r.queueDeletions(c, comment, rules, append(items, i)); err != nil {
		return err
	}
	if len(rules) > 0 && len(rules) == len(theirs.rules) {
		c.DelChain(r.recordChain(comment))
	}
	return nil
}

// queueDeletions queues the deletion of rules of an owner's record, and of those
// elements that are the owner's.
func (r *registry) queueDeletions(c *conn, comment string, rules []*nftables.Rule, items []item) error {
	for _, rule := range rules {
		if err := c.DelRule(rule); err != nil {
			return err
		}
	}
	for _, i := range items {
		there, err := c.element(r.set(i.set), []byte(i.key))
		if err != nil {
			return err
		}
		if there == nil || there.comment != comment {
			continue
		}
		if err := c.deleteElement(r.set(i.set), i.key); err != nil {
			return err
		}
	}
	return nil
}

// replace is put or, without pairs, queueRemoval: a table that nobody needs is
// not made.
func (r *registry) replace(c *conn, comment string, pairs []pair) error {
	if len(pairs) == 0 {
		return r.queueRemoval(c, comment, nil)
	}
	return r.put(c, comment, pairs)
}

// remove removes what the owner with a comment has recorded, if anything. Known are
// pairs that it may have without: see queueUnrecorded.
func (r *registry) remove(ctx context.Context, c *conn, comment string, known []pair) error {
	err := c.retrying(ctx, func(c *conn) error {
		if err := r.queueRemoval(c, comment, known); err != nil {
			return err
		}
		return c.commit()
	})
	return r.wrap(err)
}

// queueRemoval queues the deletion of what the owner has recorded.
func (r *registry) queueRemoval(c *conn, comment string, known []pair) error {
	chain := r.recordChain(comment)
	if exists, err := c.hasChain(&r.table, chain.Name); !exists {
		return cmp.Or(err, r.queueUnrecorded(c, comment, known))
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
	if err := r.queueDeletions(c, comment, h.rules, items); err != nil {
		return err
	}
	c.DelChain(chain)
	return nil
}

// queueUnrecorded queues the deletion of the owner's elements if somebody has deleted
// the record of the known pairs: of an owner without a record that is asked alone.
func (r *registry) queueUnrecorded(c *conn, comment string, known []pair) error {
	for _, p := range known {
		there, err := c.element(r.set(r.subjects), p.subject)
		if err != nil {
			return err
		}
		if there == nil || there.comment != comment {
			continue
		}
		items, err := r.itemsOf(c, func(other string) bool { return other == comment })
		if err != nil {
			return err
		}
		return r.queueDeletions(c, comment, nil, items)
	}
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
func (r *registry) gc(ctx context.Context, c *conn, attachments plugin.Attachments) error {
	err := r.removeOwners(ctx, c, attachments.StaleComment)
	return errors.Join(err, r.gcElements(ctx, c, attachments))
}

// removeOwners removes what owners with selected comments have recorded.
func (r *registry) removeOwners(ctx context.Context, c *conn, selected func(comment string) bool) error {
	var comments []string
	err := c.stable(func() (err error) {
		comments, err = r.comments(c)
		return err
	})
	errs := []error{r.wrap(err)}
	for _, comment := range comments {
		if selected(comment) {
			errs = append(errs, r.remove(ctx, c, comment, nil))
		}
	}
	return errors.Join(errs...)
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

func (r *registry) gcElements(ctx context.Context, c *conn, attachments plugin.Attachments) error {
	err := c.retrying(ctx, func(c *conn) error {
		items, err := r.itemsOf(c, attachments.StaleComment)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(items, maxDeletions) {
			for _, i := range some {
				if err := c.deleteElement(r.set(i.set), i.key); err != nil {
					return err
				}
			}
			if err := c.commit(); err != nil {
				return err
			}
		}
		return nil
	})
	return r.wrap(err)
}

// maxDeletions bounds the size of a transaction.
const maxDeletions = 500

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
		if p.set.name != "" && !hasRule(base, p.set.rule) {
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

// differencesUnlessTaken is differences without the pairs that another owner has
// got since, which have the effect that they are to have.
func (r *registry) differencesUnlessTaken(c *conn, comment string, pairs []pair) ([]string, error) {
	differences, err := r.differences(c, comment, pairs)
	if err != nil || len(differences) == 0 {
		return nil, err
	}
	rest, err := r.withoutTaken(c, comment, pairs)
	if err != nil || len(rest) == len(pairs) {
		return differences, err
	}
	return r.differences(c, comment, rest)
}

// withoutTaken returns the pairs that no other owner has.
func (r *registry) withoutTaken(c *conn, comment string, pairs []pair) ([]pair, error) {
	base, err := c.GetRules(&r.table, r.baseChain())
	if err != nil {
		return nil, explain(err)
	}
	var rest []pair
	for _, p := range pairs {
		taken, err := r.isTaken(c, comment, p)
		if err != nil {
			return nil, err
		}
		if !taken || !hasRule(base, p.set.rule) {
			rest = append(rest, p)
		}
	}
	return rest, nil
}

// isTaken tells whether another owner has the elements of a pair.
func (r *registry) isTaken(c *conn, comment string, p pair) (bool, error) {
	for _, i := range r.items([]pair{p}) {
		there, err := c.element(r.set(i.set), []byte(i.key))
		if err != nil || there == nil || there.comment == comment {
			return false, err
		}
	}
	return true, nil
}

// lost tells whether anything is missing that makes pairs have an effect, whoever
// has them, or the record of those that the owner has.
func (r *registry) lost(c *conn, comment string, pairs []pair) (bool, error) {
	if len(pairs) == 0 {
		return false, nil
	}
	base, err := c.GetRules(&r.table, r.baseChain())
	if err != nil || !r.soundBase(base) {
		return true, explain(err)
	}
	own := map[string]bool{} // subjects
	for _, i := range r.items(pairs) {
		there, err := c.element(r.set(i.set), []byte(i.key))
		if err != nil || there == nil {
			return true, err
		}
		own[i.key] = i.set == r.subjects && there.comment == comment
	}
	record, err := r.held(c, comment)
	return slices.ContainsFunc(pairs, func(p pair) bool {
		unused := p.set.name != "" && !hasRule(base, p.set.rule)
		return unused || own[string(p.subject)] && !hasRule(record.rules, p.record)
	}), err
}

// differencesOrSurplus is differences, also for an owner that should have
// nothing.
func (r *registry) differencesOrSurplus(c *conn, comment string, pairs []pair) ([]string, error) {
	if len(pairs) > 0 {
		return r.differences(c, comment, pairs)
	}
	chain := r.recordChain(comment).Name
	if there, err := c.hasChain(&r.table, chain); err != nil || !there {
		return nil, err
	}
	return []string{fmt.Sprintf("%s: chain %s should not be there", r, chain)}, nil
}

// sameRules compares the rules of a chain with what they should be.
func sameRules(got []*nftables.Rule, want [][]expr.Any) bool {
	return slices.EqualFunc(got, want, sameRule)
}

func sameRule(got *nftables.Rule, want []expr.Any) bool { return reflect.DeepEqual(got.Exprs, want) }
