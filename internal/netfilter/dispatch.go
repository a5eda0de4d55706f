// SPDX-License-Identifier: Apache-2.0

package netfilter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// dispatch is a table of ours in which a verdict map sends the packets of each
// attachment to a chain of its own:
//
//	table ip cni_masquerade {
//		map sources {
//			type ipv4_addr : verdict
//			elements = { 10.88.0.2 comment "podman/c1/eth0" : goto owner_x }
//		}
//		chain postrouting {
//			type nat hook postrouting priority srcnat; policy accept;
//			ip daddr 224.0.0.0/4 return
//			ip saddr vmap @sources
//		}
//		chain owner_x {
//			ip daddr 10.88.0.0/16 return comment "podman/c1/eth0"
//			ip saddr 10.88.0.2 masquerade comment "podman/c1/eth0"
//		}
//	}
//
// A packet costs one lookup, however many attachments there are. The name of an
// owner's chain follows from the owner, and its rules name the keys that lead
// to it: an attachment is found and removed without listing the others.
//
// Owners never share an object, so that none can break another's. What they do
// share, the table, the map and the base chain, is put right by every put and
// never removed: it has no effect while the map is empty, and removing it would
// race with the next ADD.
//
// Because the data of an element names the owner's chain, adding an element
// that exists with other data fails in the kernel. That makes "add, then
// delete" a deletion on condition that the element is still ours, and the
// transaction as a whole a compare and swap: see retrying.
type dispatch struct {
	table   nftables.Table
	keys    string               // name of the verdict map
	keyType nftables.SetDatatype // of its keys
	load    expr.Any             // loads a packet's key into register 1
	base    nftables.Chain       // base chain; Table is filled in
	before  [][]expr.Any         // rules of the base chain ahead of the map
}

// entry is what a dispatch holds for an attachment.
type entry struct {
	keys  [][]byte     // what the attachment's packets are recognised by
	rules [][]expr.Any // what is done to them; each key occurs in d.match(key)
}

func (d *dispatch) String() string {
	return fmt.Sprintf("table %s %s", familyName(d.table.Family), d.table.Name)
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

// printable returns a key as nft lists it.
func (d *dispatch) printable(key []byte) string {
	if addr, ok := netip.AddrFromSlice(key); ok && d.keyType != nftables.TypeIFName {
		return addr.String()
	}
	return string(bytes.TrimRight(key, "\x00"))
}

// match returns the start of a rule for the packets with a key.
func (d *dispatch) match(key []byte) []expr.Any {
	return []expr.Any{d.load, &expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: key}}
}

// keyOf returns the key that rule starts by matching, or nil.
func (d *dispatch) keyOf(rule *nftables.Rule) []byte {
	if len(rule.Exprs) < 2 || !reflect.DeepEqual(rule.Exprs[0], d.load) {
		return nil
	}
	if cmp, ok := rule.Exprs[1].(*expr.Cmp); ok && cmp.Op == expr.CmpOpEq {
		return cmp.Data
	}
	return nil
}

func (d *dispatch) set() *nftables.Set {
	order := binaryutil.BigEndian // by which nft lists the keys
	if d.keyType == nftables.TypeIFName {
		order = binaryutil.NativeEndian
	}
	// The ids only have to differ within one transaction, in which each
	// family has a table of its own.
	return &nftables.Set{
		Table: &d.table, Name: d.keys, ID: 1 + uint32(d.table.Family),
		IsMap: true, KeyType: d.keyType, DataType: nftables.TypeVerdict,
		KeyByteOrder: order,
	}
}

func (d *dispatch) baseChain() *nftables.Chain {
	chain := d.base
	chain.Table = &d.table
	return &chain
}

// baseRules are the rules of the base chain, in order.
func (d *dispatch) baseRules() [][]expr.Any {
	lookup := &expr.Lookup{SourceRegister: unix.NFT_REG_1, IsDestRegSet: true, DestRegister: unix.NFT_REG_VERDICT, SetName: d.keys, SetID: d.set().ID}
	return append(slices.Clone(d.before), []expr.Any{d.load, lookup})
}

func (d *dispatch) chain(name string) *nftables.Chain {
	return &nftables.Chain{Name: name, Table: &d.table}
}

// chainName returns the name of an owner's chain.
func chainName(owner plugin.Owner) string { return owner.Name("owner_", 26) }

// put queues what makes e the owner's only entry. It takes over keys that lead
// to somebody else: an address belongs to whom it was given last.
//
// It queues only what differs from the kernel. That is more than tidiness: a
// socket whose transactions deleted something takes an RCU grace period to
// close, some ten milliseconds, in which nobody else can change the ruleset
// (nft_rcv_nl_event). An ADD deletes nothing, as a rule.
func (d *dispatch) put(c *conn, owner plugin.Owner, e entry) error {
	own := d.chain(chainName(owner))
	if err := d.queueBase(c); err != nil {
		return err
	}
	old, err := d.queueRules(c, own, e.rules, withComment(owner.Comment()))
	if err != nil {
		return err
	}
	if err := d.queueDeletions(c, own.Name, without(d.keysIn(old), e.keys)); err != nil {
		return err
	}
	return d.queueKeys(c, owner, e.keys)
}

// queueBase queues the objects that all owners share, unless they are there: an
// "nft flush" is mended by the next ADD.
func (d *dispatch) queueBase(c *conn) error {
	base := d.baseChain()
	old, err := c.GetRules(&d.table, base)
	if err != nil || sameRules(old, d.baseRules()) {
		return explain(err)
	}
	c.AddTable(&d.table)
	if err := c.AddSet(d.set(), nil); err != nil {
		return err
	}
	_, err = d.queueRules(c, base, d.baseRules(), nil)
	return err
}

// queueRules queues what makes rules the only ones of a chain, and returns
// those it has now.
func (d *dispatch) queueRules(c *conn, chain *nftables.Chain, rules [][]expr.Any, userData []byte) ([]*nftables.Rule, error) {
	old, err := c.GetRules(&d.table, chain)
	if err != nil || sameRules(old, rules) {
		return old, explain(err)
	}
	c.AddChain(chain)
	c.FlushChain(chain) // of what a concurrent ADD may have written meanwhile
	for _, rule := range rules {
		c.AddRule(&nftables.Rule{Table: &d.table, Chain: chain, Exprs: rule, UserData: userData})
	}
	return old, nil
}

// queueKeys queues elements that lead from keys to the owner's chain, in place
// of others.
func (d *dispatch) queueKeys(c *conn, owner plugin.Owner, keys [][]byte) error {
	for _, key := range keys {
		there, err := c.element(d.set(), key)
		if err != nil {
			return err
		}
		own := chainName(owner)
		if there != nil && there.chain == own {
			continue
		}
		if there != nil {
			if err := c.SetDeleteElements(d.set(), []nftables.SetElement{{Key: key}}); err != nil {
				return err
			}
		}
		added := nftables.SetElement{Key: key, VerdictData: leadTo(own), Comment: owner.Comment()}
		if err := c.SetAddElements(d.set(), []nftables.SetElement{added}); err != nil {
			return err
		}
	}
	return nil
}

func leadTo(chain string) *expr.Verdict {
	return &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}
}

// queueDeletions queues the deletion of those keys that lead to chain.
func (d *dispatch) queueDeletions(c *conn, chain string, keys [][]byte) error {
	for _, key := range keys {
		there, err := c.element(d.set(), key)
		if err != nil {
			return err
		}
		if there == nil || there.chain != chain {
			continue // somebody else has taken it over
		}
		guard := nftables.SetElement{Key: key, VerdictData: leadTo(chain)}
		if err := errors.Join(
			c.SetAddElements(d.set(), []nftables.SetElement{guard}),
			c.SetDeleteElements(d.set(), []nftables.SetElement{{Key: key}}),
		); err != nil {
			return err
		}
	}
	return nil
}

func (d *dispatch) keysIn(rules []*nftables.Rule) [][]byte {
	var keys [][]byte
	for _, rule := range rules {
		if key := d.keyOf(rule); key != nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// without returns the keys that are not in others.
func without(keys, others [][]byte) [][]byte {
	return slices.DeleteFunc(keys, func(key []byte) bool {
		return slices.ContainsFunc(others, func(other []byte) bool { return bytes.Equal(key, other) })
	})
}

// wrap says to which table an error belongs.
func (d *dispatch) wrap(err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	return nil
}

// remove deletes a chain and the elements that lead to it.
func (d *dispatch) remove(ctx context.Context, chain string) error {
	err := retrying(ctx, func(c *conn, attempt int) error {
		if err := d.queueRemoval(c, chain, attempt); err != nil {
			return err
		}
		return c.commit()
	})
	return d.wrap(err)
}

// queueRemoval queues the deletion of a chain and of the elements that lead to
// it, if there is one.
func (d *dispatch) queueRemoval(c *conn, chain string, attempt int) error {
	if exists, err := c.hasChain(&d.table, chain); !exists {
		return err
	}
	keys, err := d.keysOf(c, chain, attempt)
	if err != nil {
		return err
	}
	if err := d.queueDeletions(c, chain, keys); err != nil {
		return err
	}
	c.DelChain(d.chain(chain))
	return nil
}

// keysOf returns the keys that lead to chain. The rules of the chain tell,
// unless somebody has tampered with them: then the chain is busy at the first
// attempt, and the following ones look through the map.
func (d *dispatch) keysOf(c *conn, chain string, attempt int) ([][]byte, error) {
	if attempt == 0 {
		rules, err := c.GetRules(&d.table, d.chain(chain))
		return d.keysIn(rules), err
	}
	all, err := c.elements(d.set())
	var keys [][]byte
	for _, e := range all {
		if e.chain == chain {
			keys = append(keys, e.key)
		}
	}
	return keys, err
}

// gc removes what attachments of the network have left that are not valid any
// more. It goes on after an error.
func (d *dispatch) gc(ctx context.Context, attachments plugin.Attachments) error {
	var chains []string
	err := withConn(ctx, func(c *conn) error {
		return c.stable(func() (err error) {
			chains, err = d.staleChains(c, attachments)
			return err
		})
	})
	errs := []error{d.wrap(err)}
	for _, chain := range chains {
		errs = append(errs, d.remove(ctx, chain))
	}
	return errors.Join(errs...)
}

// staleChains returns the chains that rules or elements say belong to an
// attachment of the network that is not valid. Either may be missing: elements
// are taken over, and rules can be flushed by hand.
func (d *dispatch) staleChains(c *conn, attachments plugin.Attachments) ([]string, error) {
	stale := map[string]bool{}
	comments, err := c.ruleComments(&d.table)
	if err != nil {
		return nil, err
	}
	for chain, list := range comments {
		if slices.ContainsFunc(list, attachments.StaleComment) {
			stale[chain] = true
		}
	}
	elements, err := c.elements(d.set())
	if err != nil {
		return nil, err
	}
	for _, e := range elements {
		if attachments.StaleComment(e.comment) {
			stale[e.chain] = true
		}
	}
	chains := make([]string, 0, len(stale))
	for chain := range stale {
		chains = append(chains, chain)
	}
	return chains, nil
}

// differences compares the kernel with what put would write.
func (d *dispatch) differences(c *conn, owner plugin.Owner, e entry) ([]string, error) {
	base, err := d.ruleDifferences(c, d.baseChain(), d.baseRules())
	if err != nil {
		return nil, err
	}
	own, err := d.ruleDifferences(c, d.chain(chainName(owner)), e.rules)
	if err != nil {
		return nil, err
	}
	keys, err := d.keyDifferences(c, owner, e.keys)
	return slices.Concat(base, own, keys), err
}

func (d *dispatch) ruleDifferences(c *conn, chain *nftables.Chain, want [][]expr.Any) ([]string, error) {
	exists, err := c.hasChain(&d.table, chain.Name)
	if err != nil {
		return nil, err
	}
	if !exists {
		return []string{fmt.Sprintf("%s: chain %s is missing", d, chain.Name)}, nil
	}
	got, err := c.GetRules(&d.table, chain)
	if err != nil {
		return nil, err
	}
	if len(got) != len(want) {
		return []string{fmt.Sprintf("%s: chain %s has %d rules, want %d", d, chain.Name, len(got), len(want))}, nil
	}
	if !sameRules(got, want) {
		return []string{fmt.Sprintf("%s: the rules of chain %s have been changed", d, chain.Name)}, nil
	}
	return nil, nil
}

// sameRules compares the rules of a chain with what they should be.
func sameRules(got []*nftables.Rule, want [][]expr.Any) bool {
	return slices.EqualFunc(got, want, func(rule *nftables.Rule, exprs []expr.Any) bool { return sameRule(rule.Exprs, exprs) })
}

// sameRule compares a rule with what was written. The id of a set is valid
// within the transaction only; the kernel does not return it.
func sameRule(got, want []expr.Any) bool {
	want = slices.Clone(want)
	for i, e := range want {
		if lookup, ok := e.(*expr.Lookup); ok {
			stored := *lookup
			stored.SetID = 0
			want[i] = &stored
		}
	}
	return reflect.DeepEqual(got, want)
}

func (d *dispatch) keyDifferences(c *conn, owner plugin.Owner, keys [][]byte) ([]string, error) {
	var differences []string
	for _, key := range keys {
		there, err := c.element(d.set(), key)
		switch {
		case err != nil:
			return nil, err
		case there == nil:
			differences = append(differences, fmt.Sprintf("%s: map %s has no element %s", d, d.keys, d.printable(key)))
		case there.chain != chainName(owner):
			differences = append(differences, fmt.Sprintf("%s: element %s of map %s belongs to %s", d, d.printable(key), d.keys, there.comment))
		}
	}
	return differences, nil
}
