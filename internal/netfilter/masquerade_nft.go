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
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/masqrules"
)

// nftBackend masquerades with nftables, over netlink.
type nftBackend struct{}

func (nftBackend) Name() string { return NFTables }

// masqueradeTable is the name of our tables. It is not upstream's
// (cni_plugins_masquerade), because upstream's ADD rewrites the base chain of
// its own.
const masqueradeTable = "cni_masquerade"

// registry returns the table that masquerades the family's addresses. Subjects
// are source addresses, their companions subnets: a packet to a subnet of its
// source's keeps its source, and so does a multicast packet.
func (f family) registry() *registry {
	policy := nftables.ChainPolicyAccept
	return &registry{
		table:    nftables.Table{Family: f.table, Name: masqueradeTable},
		subjects: "sources",
		subject:  f.address,
		base: nftables.Chain{
			Name: "postrouting", Type: nftables.ChainTypeNAT, Policy: &policy,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
		},
		last: [][]expr.Any{
			append(f.isTo(unix.NFT_REG_1, f.multicast.Bits()), equals(f.multicast.Addr().AsSlice()), &expr.Verdict{Kind: expr.VerdictReturn}),
			{f.load(f.saddr, unix.NFT_REG_1), lookup("sources"), &expr.Masq{}},
		},
		pairOf: f.pairOf,
		named:  f.subnetsNamed,
	}
}

// pairs returns every pair of an address among addrs and a subnet of one.
func (f family) pairs(addrs []*net.IPNet) []pair {
	prefixes := f.prefixes(addrs)
	var subnets []netip.Prefix
	for _, prefix := range prefixes {
		if subnet := prefix.Masked(); !slices.Contains(subnets, subnet) {
			subnets = append(subnets, subnet)
		}
	}
	var pairs []pair
	for _, prefix := range prefixes {
		for _, subnet := range subnets {
			pairs = append(pairs, f.pair(prefix.Addr(), subnet))
		}
	}
	return pairs
}

func (f family) pair(source netip.Addr, subnet netip.Prefix) pair {
	record := []expr.Any{f.load(f.saddr, unix.NFT_REG_1), equals(source.AsSlice())}
	record = append(append(record, f.isTo(unix.NFT_REG_1, subnet.Bits())...), equals(subnet.Addr().AsSlice()))
	return pair{subject: source.AsSlice(), companion: subnet.Addr().AsSlice(), set: f.subnets(subnet.Bits()), record: record}
}

// pairOf reads what pair has recorded.
func (f family) pairOf(record []expr.Any) (pair, bool) {
	rule := &nftables.Rule{Exprs: record}
	source, subnet := f.prefixAt(rule, f.saddr), f.prefixAt(rule, f.daddr)
	if !source.IsSingleIP() || !subnet.IsValid() {
		return pair{}, false
	}
	return f.pair(source.Addr(), subnet), true
}

// subnetsOf is how the names of the sets begin that hold subnets of one length.
const subnetsOf = "subnets"

// subnets returns the set of pairs whose subnets have a length.
func (f family) subnets(bits int) pairSet {
	rule := append([]expr.Any{f.load(f.saddr, unix.NFT_REG_1)}, f.isTo(f.secondRegister(), bits)...)
	return pairSet{
		name:      subnetsOf + strconv.Itoa(bits),
		companion: f.address,
		rule:      append(rule, lookup(subnetsOf+strconv.Itoa(bits)), &expr.Verdict{Kind: expr.VerdictReturn}),
	}
}

func (f family) subnetsNamed(name string) (pairSet, bool) {
	length, _ := strings.CutPrefix(name, subnetsOf)
	bits, err := strconv.Atoi(length)
	if err != nil || bits < 0 || bits > f.multicast.Addr().BitLen() || name != f.subnets(bits).name {
		return pairSet{}, false
	}
	return f.subnets(bits), true
}

// secondRegister is the one after an address in register 1.
func (f family) secondRegister() uint32 {
	if f.address == nftables.TypeIPAddr {
		return unix.NFT_REG32_01
	}
	return unix.NFT_REG_2
}

// Masquerade is one transaction for both families.
func (b nftBackend) Masquerade(ctx context.Context, owner plugin.Owner, addrs []*net.IPNet) error {
	err := retrying(ctx, func(c *conn) error {
		for _, f := range families() {
			// A family the attachment has no addresses of is touched only to
			// remove what the owner had there before.
			if err := f.registry().replace(c, owner.Comment(), f.pairs(addrs)); err != nil {
				return f.registry().wrap(err)
			}
		}
		return c.commit()
	})
	if errors.Is(err, unix.ENOENT) {
		return cmp.Or(b.Available(ctx), err)
	}
	return err
}

// CheckMasquerade reads, for each address, its elements, and the rules. Where
// these are not complete, those of another owner or of upstream may be.
func (nftBackend) CheckMasquerade(ctx context.Context, owner plugin.Owner, addrs []*net.IPNet) ([]string, error) {
	var all []string
	err := withConn(ctx, func(c *conn) error {
		for _, f := range families() {
			differences, err := f.masqueradeDifferences(c, owner, addrs)
			if err != nil {
				return err
			}
			all = append(all, differences...)
		}
		return nil
	})
	return all, err
}

func (f family) masqueradeDifferences(c *conn, owner plugin.Owner, addrs []*net.IPNet) ([]string, error) {
	pairs := f.pairs(addrs)
	if len(pairs) == 0 {
		return nil, nil
	}
	differences, err := f.registry().differencesUnlessTaken(c, owner.Comment(), pairs)
	if err != nil || len(differences) == 0 {
		return nil, f.registry().wrap(err)
	}
	complete, err := f.upstreamMasquerades(c, owner, f.prefixes(addrs))
	if err != nil {
		return nil, fmt.Errorf("table inet %s: %w", masqrules.Table().Name, err)
	}
	if complete {
		return nil, nil
	}
	return differences, nil
}

// LostMasquerade reads the elements of each address, the rules and the record.
func (nftBackend) LostMasquerade(ctx context.Context, owner plugin.Owner, addrs []*net.IPNet) (lost bool, err error) {
	err = withConn(ctx, func(c *conn) error {
		for _, f := range families() {
			missing, err := f.registry().lost(c, owner.Comment(), f.pairs(addrs))
			if err != nil {
				return f.registry().wrap(err)
			}
			lost = lost || missing
		}
		return nil
	})
	return lost, err
}

// Available probes a table that masquerades.
func (nftBackend) Available(ctx context.Context) error {
	return probe(ctx, errNoNFTMasquerade, []*registry{families()[0].registry()}, wholeBase)
}

var errNoNFTMasquerade = errors.New("nftables cannot masquerade: load the modules nft_chain_nat and nft_masq (CONFIG_NFT_NAT, CONFIG_NFT_MASQ)")
