// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// nftGate opens with nftables, over netlink:
//
//	table ip cni_firewall {
//		set containers {
//			type ipv4_addr
//			elements = { 10.88.0.2 comment "podman/c1/eth0" }
//		}
//		chain forward {
//			type filter hook forward priority filter; policy accept;
//			ip daddr @containers ct state established,related accept
//			ip saddr @containers accept
//		}
//		chain owner/podman/c1/eth0 {
//			ip saddr 10.88.0.2 comment "podman/c1/eth0"
//		}
//	}
//
// To accept is to go on with the next table: whatever drops a packet there,
// iptables with its policy included, has the last word. See SelectGate.
type nftGate struct{}

func (nftGate) Name() string { return NFTables }

const firewallTable = "cni_firewall"

// passing returns the table of the family's addresses whose traffic passes.
func (f family) passing() *registry {
	const containers = "containers"
	established := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	accept := &expr.Verdict{Kind: expr.VerdictAccept}
	return f.addressRegistry(firewallTable, containers, [][]expr.Any{
		{
			f.load(f.daddr, unix.NFT_REG_1), lookup(containers),
			&expr.Ct{Key: expr.CtKeySTATE, Register: unix.NFT_REG_1},
			&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4, Mask: established, Xor: make([]byte, 4)},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: make([]byte, 4)},
			accept,
		},
		{f.load(f.saddr, unix.NFT_REG_1), lookup(containers), accept},
	})
}

// addressRegistry returns a table with addresses in a set, and rules about
// forwarded packets.
func (f family) addressRegistry(table, set string, rules [][]expr.Any) *registry {
	policy := nftables.ChainPolicyAccept
	return &registry{
		table:    nftables.Table{Family: f.table, Name: table},
		subjects: set,
		subject:  f.address,
		base: nftables.Chain{
			Name: "forward", Type: nftables.ChainTypeFilter, Policy: &policy,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
		},
		last:   rules,
		pairOf: f.addressOf,
		named:  noPairs,
	}
}

// noPairs is for a registry of subjects that have no companions.
func noPairs(string) (pairSet, bool) { return pairSet{}, false }

// addresses returns the entries of the addresses in a registry of addresses.
func (f family) addresses(p Passage) []pair {
	var pairs []pair
	for _, prefix := range f.singles(p.Addrs) {
		addr := prefix.Addr().AsSlice()
		pairs = append(pairs, pair{subject: addr, record: []expr.Any{f.load(f.saddr, unix.NFT_REG_1), equals(addr)}})
	}
	return pairs
}

// addressOf reads what addresses has recorded.
func (f family) addressOf(record []expr.Any) (pair, bool) {
	source := f.prefixAt(&nftables.Rule{Exprs: record}, f.saddr)
	if !source.IsSingleIP() || len(record) != 2 {
		return pair{}, false
	}
	return pair{subject: source.Addr().AsSlice(), record: record}, true
}

// Prepared has nothing to look for: the transaction fails as a whole.
func (nftGate) Prepared(context.Context, Passage) error { return nil }

// Open is one transaction for both families.
func (g nftGate) Open(ctx context.Context, owner plugin.Owner, p Passage) error {
	err := g.open(ctx, owner, p)
	if isUnsupported(err) && p.Ingress.Policy == IngressIsolated && seesBridged() {
		p.Ingress.routedOnly = true
		err = g.open(ctx, owner, p)
	}
	return orMissing(err, errNoNFTFirewall)
}

func (nftGate) open(ctx context.Context, owner plugin.Owner, p Passage) error {
	write := func() error {
		return retrying(ctx, func(c *conn) error {
			for _, f := range families() {
				if err := f.passing().replace(c, owner.Comment(), f.addresses(p)); err != nil {
					return f.passing().wrap(err)
				}
			}
			if err := p.Ingress.put(c); err != nil {
				return err
			}
			return c.commit()
		})
	}
	if p.Ingress.Policy == "" {
		return write()
	}
	return locked(ctx, write) // gcIngress must not take away what we find there
}

var errNoNFTFirewall = errors.New("nftables cannot filter as it has to: load the module nft_ct (CONFIG_NFT_CT) and," +
	" for ingressPolicy isolated, nft_meta_bridge (CONFIG_NFT_BRIDGE_META) or br_netfilter")

// Check reads the rules and, for each address, its elements.
func (nftGate) Check(ctx context.Context, owner plugin.Owner, p Passage) ([]string, error) {
	var all []string
	err := withConn(ctx, func(c *conn) error {
		for _, f := range families() {
			pairs := f.addresses(p)
			if len(pairs) == 0 {
				continue
			}
			differences, err := f.passing().differences(c, owner.Comment(), pairs)
			if err != nil {
				return f.passing().wrap(err)
			}
			all = append(all, differences...)
		}
		differences, err := p.Ingress.differences(c)
		all = append(all, differences...)
		return err
	})
	return all, err
}

// Restore is a transaction for each attachment.
func (g nftGate) Restore(ctx context.Context, all []OwnedPassage) ([]plugin.Owner, error) {
	return openEach(ctx, g, all)
}

// Available probes all tables.
func (nftGate) Available(ctx context.Context, policy string) error {
	tables := []*registry{families()[0].passing(), families()[1].passing(), isolation()}
	if policy == IngressIsolated && !seesBridged() {
		tables = append(tables, bridgedIsolation())
	}
	return probe(ctx, errNoNFTFirewall, tables, wholeBase)
}
