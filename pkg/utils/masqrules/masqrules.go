// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package masqrules masquerades addresses with nftables as upstream has done since
// 1.6, with rules for each, through all of which every packet goes. The plugins find
// and remove such rules, and make none (see internal/netfilter); programs make them
// with pkg/ip.
package masqrules

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/nftcomment"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// The shape of the nftables rules, as nft lists it:
//
//	table inet cni_plugins_masquerade {
//		chain masq_checks {
//			ip saddr 10.1.2.3 ip daddr != 10.1.2.0/24 masquerade comment "6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one"
//		}
//		chain postrouting {
//			type nat hook postrouting priority srcnat; policy accept;
//			ip daddr 224.0.0.0/4 return
//			ip6 daddr ff00::/8 return
//			goto masq_checks
//		}
//	}
const tableName = "cni_plugins_masquerade"

// Table returns the table of the rules.
func Table() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
}

// Checks returns the chain with a rule for each masqueraded address.
func Checks() *nftables.Chain { return &nftables.Chain{Table: Table(), Name: "masq_checks"} }

// Postrouting returns the base chain, which all packets come to and most leave for
// Checks.
func Postrouting() *nftables.Chain {
	return &nftables.Chain{
		Table: Table(), Name: "postrouting", Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	}
}

// hashForNetwork returns what the comments of a network's rules begin with.
func hashForNetwork(network string) string {
	return rulename.Hash(16, "", network)
}

// hashForInstance returns what the comments of an attachment's rules begin with.
func hashForInstance(network, ifname, containerID string) string {
	return hashForNetwork(network) + "-" + rulename.Hash(16, "", ifname+":"+containerID)
}

// Owns returns what tells whether a rule with a comment is one of the attachment's.
func Owns(network, ifname, containerID string) func(comment string) bool {
	return ownedBy(hashForInstance(network, ifname, containerID))
}

// maxComment is the length to which comments are cut.
const maxComment = 128

// commentForInstance returns the comment of an attachment's rules.
func commentForInstance(network, ifname, containerID string) string {
	names := fmt.Sprintf(", net: %s, if: %s, id: %s", network, ifname, containerID)
	comment := hashForInstance(network, ifname, containerID) + strings.ReplaceAll(names, `"`, "")
	return comment[:min(len(comment), maxComment)]
}

// Set makes the rules for ipns the only ones of the attachment.
func Set(ipns []*net.IPNet, network, ifname, containerID string) error {
	return change(func(c *nftables.Conn, existing []*nftables.Rule) (changed bool, err error) {
		queueBase(c)
		if err := deleteRules(c, existing, Owns(network, ifname, containerID)); err != nil {
			return false, err
		}
		comment := commentForInstance(network, ifname, containerID)
		for _, ipn := range ipns {
			c.AddRule(&nftables.Rule{Table: Table(), Chain: Checks(), Exprs: masqueradeRule(ipn), UserData: nftcomment.UserData(comment)})
		}
		return true, nil
	})
}

// Remove removes the rules of an attachment, which it finds by their comments.
// Nothing has to be known of its addresses. Where there are no rules, or no
// nftables, it does nothing.
func Remove(network, ifname, containerID string) error {
	return remove(Owns(network, ifname, containerID))
}

// GC removes the rules of a network's attachments that are not in the list.
func GC(network string, attachments []types.GCAttachment) error {
	valid := make([]string, 0, len(attachments))
	for _, a := range attachments {
		valid = append(valid, commentForInstance(network, a.IfName, a.ContainerID))
	}
	ofNetwork := ownedBy(hashForNetwork(network))
	return remove(func(comment string) bool { return ofNetwork(comment) && !slices.Contains(valid, comment) })
}

// ownedBy selects comments by the hash they begin with.
func ownedBy(hash string) func(comment string) bool {
	return func(comment string) bool { return strings.HasPrefix(comment, hash) }
}

func remove(selected func(comment string) bool) error {
	err := change(func(c *nftables.Conn, existing []*nftables.Rule) (bool, error) {
		return slices.ContainsFunc(existing, hasComment(selected)), deleteRules(c, existing, selected)
	})
	if errors.Is(err, errNoNFTables) {
		return nil
	}
	return err
}

// attempts bounds how often a change is planned anew because a rule it
// was to delete has gone meanwhile.
const attempts = 10

// change calls plan with the rules there are, and commits what it
// queues if it says that something has to be changed.
func change(plan func(*nftables.Conn, []*nftables.Rule) (changed bool, err error)) error {
	var err error
	for range attempts {
		if err = changeOnce(plan); !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("nftables: table inet %s: %w", tableName, err)
	}
	return nil
}

func changeOnce(plan func(*nftables.Conn, []*nftables.Rule) (changed bool, err error)) error {
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return errors.Join(errNoNFTables, err)
	}
	// After deletions the kernel closes the socket an RCU grace period later,
	// some ten milliseconds: nobody has to wait for it.
	defer func() { go func() { _ = c.CloseLasting() }() }()

	existing, err := rulesOf(c)
	if err != nil {
		return err
	}
	if changed, err := plan(c, existing); err != nil || !changed {
		return err
	}
	return c.Flush()
}

var errNoNFTables = errors.New("the kernel has no nf_tables")

// rulesOf returns the rules there are. It asks for the table first, because
// GetRules drops the error number. A kernel without nf_tables answers EINVAL.
func rulesOf(c *nftables.Conn) ([]*nftables.Rule, error) {
	_, err := c.ListTableOfFamily(tableName, nftables.TableFamilyINet)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return nil, errors.Join(errNoNFTables, err)
	case err != nil:
		return nil, err
	}
	return c.GetRules(Table(), Checks())
}

// queueBase queues the objects that all attachments share.
func queueBase(c *nftables.Conn) {
	postrouting := Postrouting()
	c.AddTable(Table())
	c.AddChain(Checks())
	c.AddChain(postrouting)
	c.FlushChain(postrouting)
	for _, rule := range [][]expr.Any{
		append(daddr(ipv4Header(), net.IPv4(224, 0, 0, 0).To4(), net.CIDRMask(4, 32), expr.CmpOpEq), &expr.Verdict{Kind: expr.VerdictReturn}),
		append(daddr(ipv6Header(), net.ParseIP("ff00::"), net.CIDRMask(8, 128), expr.CmpOpEq), &expr.Verdict{Kind: expr.VerdictReturn}),
		{&expr.Verdict{Kind: expr.VerdictGoto, Chain: Checks().Name}},
	} {
		c.AddRule(&nftables.Rule{Table: Table(), Chain: postrouting, Exprs: rule})
	}
}

func deleteRules(c *nftables.Conn, rules []*nftables.Rule, selected func(comment string) bool) error {
	var errs []error
	for _, rule := range rules {
		if hasComment(selected)(rule) {
			errs = append(errs, c.DelRule(&nftables.Rule{Table: Table(), Chain: Checks(), Handle: rule.Handle}))
		}
	}
	return errors.Join(errs...)
}

func hasComment(selected func(comment string) bool) func(*nftables.Rule) bool {
	return func(rule *nftables.Rule) bool {
		return selected(nftcomment.Of(rule.UserData))
	}
}

// header is where a family has its addresses in the network header.
type header struct {
	family       byte
	source, dest uint32
	size         uint32
}

func ipv4Header() header { return header{unix.NFPROTO_IPV4, 12, 16, net.IPv4len} }
func ipv6Header() header { return header{unix.NFPROTO_IPV6, 8, 24, net.IPv6len} }

// masqueradeRule masquerades packets from ipn's address that leave its subnet.
func masqueradeRule(ipn *net.IPNet) []expr.Any {
	h, addr := ipv6Header(), ipn.IP.To16()
	if v4 := ipn.IP.To4(); v4 != nil {
		h, addr = ipv4Header(), v4
	}
	ones, bits := ipn.Mask.Size()
	mask := net.CIDRMask(ones-bits+len(addr)*8, len(addr)*8) // IPv4 may come with an IPv6 mask
	rule := daddr(h, addr.Mask(mask), mask, expr.CmpOpNeq)
	source := []expr.Any{
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: h.source, Len: h.size},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: addr},
	}
	return append(slices.Insert(rule, len(ofFamily(h)), source...), &expr.Masq{})
}

// ofFamily matches the packets of one family in a table of both.
func ofFamily(h header) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{h.family}},
	}
}

// daddr matches the packets whose destination is, or is not, in a subnet.
func daddr(h header, network net.IP, mask net.IPMask, op expr.CmpOp) []expr.Any {
	return append(ofFamily(h),
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: h.dest, Len: h.size},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: h.size, Mask: mask, Xor: make([]byte, h.size)},
		&expr.Cmp{Op: op, Register: unix.NFT_REG_1, Data: network},
	)
}
