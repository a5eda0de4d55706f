// SPDX-License-Identifier: Apache-2.0

package netfilter

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// nftBackend masquerades with nftables, over netlink.
type nftBackend struct{}

func (nftBackend) Name() string { return NFTables }

// masqueradeTable is the name of our tables. It is not upstream's
// (cni_plugins_masquerade), because upstream's ADD rewrites the base chain of
// its own.
const masqueradeTable = "cni_masquerade"

// family is what there is to know to masquerade IPv4 or IPv6.
type family struct {
	table     nftables.TableFamily
	address   nftables.SetDatatype
	saddr     uint32 // offset of the source address in the network header
	daddr     uint32
	multicast netip.Prefix
	variant   string // of the iptables programs: "", "-legacy" or "-nft"
}

// families returns both. The tables are of the families ip and ip6, not inet,
// in which NAT needs Linux 5.2.
func families() []family {
	return []family{
		{table: nftables.TableFamilyIPv4, address: nftables.TypeIPAddr, saddr: 12, daddr: 16, multicast: netip.MustParsePrefix("224.0.0.0/4")},
		{table: nftables.TableFamilyIPv6, address: nftables.TypeIP6Addr, saddr: 8, daddr: 24, multicast: netip.MustParsePrefix("ff00::/8")},
	}
}

// dispatch returns the table that masquerades the family's addresses.
func (f family) dispatch() *dispatch {
	policy := nftables.ChainPolicyAccept
	return &dispatch{
		table:   nftables.Table{Family: f.table, Name: masqueradeTable},
		keys:    "sources",
		keyType: f.address,
		load:    f.loadSource(),
		base: nftables.Chain{
			Name: "postrouting", Type: nftables.ChainTypeNAT, Policy: &policy,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
		},
		before: [][]expr.Any{f.returnTo(f.multicast)},
	}
}

// entry returns what masquerades the family's addresses among addrs: packets
// keep their source when they go to a subnet of the attachment.
func (f family) entry(addrs []*net.IPNet) entry {
	var e entry
	seen := map[netip.Prefix]bool{}
	for _, prefix := range f.prefixes(addrs) {
		e.keys = append(e.keys, prefix.Addr().AsSlice())
		if subnet := prefix.Masked(); !seen[subnet] {
			seen[subnet] = true
			e.rules = append(e.rules, f.returnTo(subnet))
		}
	}
	d := f.dispatch()
	for _, key := range e.keys {
		e.rules = append(e.rules, append(d.match(key), &expr.Masq{}))
	}
	return e
}

// prefixes returns the family's addresses with their prefix lengths, each once.
func (f family) prefixes(addrs []*net.IPNet) []netip.Prefix {
	var list []netip.Prefix
	seen := map[netip.Addr]bool{}
	for _, ipn := range addrs {
		addr, ok := netip.AddrFromSlice(ipn.IP)
		addr = addr.Unmap()
		if !ok || addr.Is4() != (f.table == nftables.TableFamilyIPv4) || seen[addr] {
			continue
		}
		seen[addr] = true
		ones, bits := ipn.Mask.Size()
		list = append(list, netip.PrefixFrom(addr, ones-bits+addr.BitLen()))
	}
	return list
}

func (f family) loadSource() expr.Any {
	return &expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: f.saddr, Len: f.address.Bytes}
}

// returnTo returns a rule that leaves packets to prefix alone.
func (f family) returnTo(prefix netip.Prefix) []expr.Any {
	size := f.address.Bytes
	return []expr.Any{
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: f.daddr, Len: size},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: size, Mask: net.CIDRMask(prefix.Bits(), int(size)*8), Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: prefix.Addr().AsSlice()},
		&expr.Verdict{Kind: expr.VerdictReturn},
	}
}

// Masquerade is one transaction for both families.
func (b nftBackend) Masquerade(ctx context.Context, owner plugin.Owner, addrs []*net.IPNet) error {
	err := retrying(ctx, func(c *conn, attempt int) error {
		for _, f := range families() {
			if err := f.put(c, owner, addrs, attempt); err != nil {
				return f.dispatch().wrap(err)
			}
		}
		return c.commit()
	})
	if errors.Is(err, unix.ENOENT) {
		return cmp.Or(b.Available(ctx), err)
	}
	return err
}

// put queues the family's part of Masquerade. A family the attachment has no
// addresses of is touched only to remove what the owner had there before.
func (f family) put(c *conn, owner plugin.Owner, addrs []*net.IPNet, attempt int) error {
	d, e := f.dispatch(), f.entry(addrs)
	if len(e.keys) == 0 {
		return d.queueRemoval(c, chainName(owner), attempt)
	}
	return d.put(c, owner, e)
}

func (nftBackend) CheckMasquerade(ctx context.Context, owner plugin.Owner, addrs []*net.IPNet) ([]string, error) {
	var all []string
	err := withConn(ctx, func(c *conn) error {
		for _, f := range families() {
			e := f.entry(addrs)
			if len(e.keys) == 0 {
				continue
			}
			differences, err := f.dispatch().differences(c, owner, e)
			if err != nil {
				return err
			}
			all = append(all, differences...)
		}
		return nil
	})
	return all, err
}

// Available writes a table that masquerades and deletes it again in the same
// transaction: the kernel loads and checks everything and keeps nothing.
func (nftBackend) Available(ctx context.Context) error {
	return withConn(ctx, func(c *conn) error {
		d := families()[0].dispatch()
		d.table.Name = "cni_masquerade_probe"
		if err := d.queueBase(c); err != nil {
			return err
		}
		c.AddRule(&nftables.Rule{Table: &d.table, Chain: d.baseChain(), Exprs: []expr.Any{&expr.Masq{}}})
		c.DelTable(&d.table)
		err := c.commit()
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
			return errors.Join(errNoNFTMasquerade, err)
		}
		return err
	})
}

var errNoNFTMasquerade = errors.New("nftables cannot masquerade: load the modules nft_chain_nat and nft_masq (CONFIG_NFT_NAT, CONFIG_NFT_MASQ)")
