// SPDX-License-Identifier: Apache-2.0

package netfilter

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// The MAC spoof check keeps an attachment from sending frames under any MAC
// address but its own:
//
//	table bridge cni_spoofcheck {
//		map ports {
//			type ifname : verdict
//			elements = { "veth0" comment "podman/c1/eth0" : goto owner_x }
//		}
//		chain prerouting {
//			type filter hook prerouting priority dstnat; policy accept;
//			iifname vmap @ports
//		}
//		chain owner_x {
//			iifname "veth0" ether saddr != 0a:58:0a:58:00:02 drop comment "podman/c1/eth0"
//		}
//	}
//
// It is for ports of a bridge, and works on layer 2, which of the backends only
// nftables can filter.
const spoofCheckTable = "cni_spoofcheck"

// bridgeDstNAT is where the bridge family translates destinations, before all
// else (NF_BR_PRI_NAT_DST_BRIDGED).
const bridgeDstNAT = -300

func spoofCheck() *dispatch {
	policy := nftables.ChainPolicyAccept
	return &dispatch{
		table:   nftables.Table{Family: nftables.TableFamilyBridge, Name: spoofCheckTable},
		keys:    "ports",
		keyType: nftables.TypeIFName,
		load:    &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: unix.NFT_REG_1},
		base: nftables.Chain{
			Name: "prerouting", Type: nftables.ChainTypeFilter, Policy: &policy,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(bridgeDstNAT),
		},
	}
}

// guard returns the entry that lets only mac in through hostLink.
func guard(hostLink string, mac net.HardwareAddr) entry {
	const sourceOffset = 6 // in the Ethernet header
	port := make([]byte, unix.IFNAMSIZ)
	copy(port, hostLink)
	rule := append(spoofCheck().match(port),
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseLLHeader, Offset: sourceOffset, Len: uint32(len(mac))},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: mac},
		&expr.Verdict{Kind: expr.VerdictDrop},
	)
	return entry{keys: [][]byte{port}, rules: [][]expr.Any{rule}}
}

// GuardMAC drops the frames that come in through a bridge port, the host end of
// the owner's link, from another MAC address. It replaces what the owner had.
func GuardMAC(ctx context.Context, owner plugin.Owner, hostLink string, mac net.HardwareAddr) error {
	if len(mac) != ethernetAddress {
		return fmt.Errorf("MAC address %q of %s has %d bytes, Ethernet's have %d", mac, hostLink, len(mac), ethernetAddress)
	}
	d := spoofCheck()
	err := retrying(ctx, func(c *conn, _ int) error {
		if err := d.put(c, owner, guard(hostLink, mac)); err != nil {
			return err
		}
		return c.commit()
	})
	if errors.Is(err, errNoNFTables) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%s: %w: %w", d, errNoSpoofCheck, err)
	}
	return d.wrap(err)
}

const ethernetAddress = 6 // bytes

var errNoSpoofCheck = errors.New("the MAC spoof check needs nftables in the kernel, iptables does not see layer 2:" +
	" load the modules nf_tables and nft_meta_bridge (CONFIG_NF_TABLES_BRIDGE)")

// CheckMAC says where the kernel differs from what GuardMAC would write.
func CheckMAC(ctx context.Context, owner plugin.Owner, hostLink string, mac net.HardwareAddr) (differences []string, err error) {
	err = withConn(ctx, func(c *conn) (err error) {
		differences, err = spoofCheck().differences(c, owner, guard(hostLink, mac))
		return err
	})
	return differences, err
}

// UnguardMAC removes what GuardMAC wrote for the owner, and what versions up to
// 1.9 of the plugins did. What is not there is no error.
func UnguardMAC(ctx context.Context, owner plugin.Owner) error {
	err := errors.Join(
		spoofCheck().remove(ctx, chainName(owner)),
		removeOldSpoofCheck(ctx, owner),
	)
	if errors.Is(err, errNoNFTables) {
		return nil
	}
	return err
}

// removeOldSpoofCheck removes two chains of the attachment in the table
// "bridge nat" and the rules of PREROUTING that lead to them. Their names do
// not tell the network, for which reason GC leaves them alone.
func removeOldSpoofCheck(ctx context.Context, owner plugin.Owner) error {
	var (
		table   = &nftables.Table{Family: nftables.TableFamilyBridge, Name: "nat"}
		id      = owner.ContainerID + "-" + owner.IfName
		chain   = "cni-br-iface-" + id
		comment = "macspoofchk-" + id
	)
	return retrying(ctx, func(c *conn, _ int) error {
		first, err := c.hasChain(table, chain)
		if err != nil {
			return err
		}
		second, err := c.hasChain(table, chain+"-mac")
		if err != nil || !first && !second {
			return err
		}
		if err := c.queueRuleDeletions(&nftables.Chain{Table: table, Name: "PREROUTING"}, comment); err != nil {
			return err
		}
		if first {
			c.DelChain(&nftables.Chain{Table: table, Name: chain})
		}
		if second {
			c.DelChain(&nftables.Chain{Table: table, Name: chain + "-mac"})
		}
		return c.commit()
	})
}

// queueRuleDeletions queues the deletion of the rules with a comment.
func (c *conn) queueRuleDeletions(chain *nftables.Chain, comment string) error {
	rules, err := c.GetRules(chain.Table, chain)
	if err != nil {
		return explain(err)
	}
	for _, rule := range rules {
		if commentOf(rule.UserData) != comment {
			continue
		}
		if err := c.DelRule(&nftables.Rule{Table: chain.Table, Chain: chain, Handle: rule.Handle}); err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
	}
	return nil
}
