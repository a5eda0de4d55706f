// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/nftcomment"
)

// The MAC spoof check keeps an attachment from sending frames under any MAC
// address but its own:
//
//	table bridge cni_spoofcheck {
//		set ports {
//			type ifname
//			elements = { "veth0" comment "podman/c1/eth0" }
//		}
//		set allowed {
//			type ifname . ether_addr
//			elements = { "veth0" . 0a:58:0a:58:00:02 comment "podman/c1/eth0" }
//		}
//		chain prerouting {
//			type filter hook prerouting priority dstnat; policy accept;
//			iifname . ether saddr @allowed accept
//			iifname @ports drop
//		}
//		chain owner/podman/c1/eth0 {
//			iifname "veth0" ether saddr 0a:58:0a:58:00:02 comment "podman/c1/eth0"
//		}
//	}
//
// It is for ports of a bridge, and works on layer 2, which of the backends only
// nftables can filter.
const spoofCheckTable = "cni_spoofcheck"

// bridgeDstNAT is where the bridge family translates destinations, before all
// else (NF_BR_PRI_NAT_DST_BRIDGED).
const bridgeDstNAT = -300

func spoofCheck() *registry {
	policy := nftables.ChainPolicyAccept
	return &registry{
		table:    nftables.Table{Family: nftables.TableFamilyBridge, Name: spoofCheckTable},
		subjects: "ports",
		subject:  nftables.TypeIFName,
		base: nftables.Chain{
			Name: "prerouting", Type: nftables.ChainTypeFilter, Policy: &policy,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(bridgeDstNAT),
		},
		last:   [][]expr.Any{{loadPort(), lookup("ports"), &expr.Verdict{Kind: expr.VerdictDrop}}},
		always: []pairSet{allowed()},
		pairOf: guardOf,
		named:  func(set string) (pairSet, bool) { return allowed(), set == allowed().name },
	}
}

// allowed is the set of ports and the addresses that may come in through them.
func allowed() pairSet {
	return pairSet{
		name:      "allowed",
		companion: nftables.TypeEtherAddr,
		rule:      []expr.Any{loadPort(), loadSender(unix.NFT_REG_2), lookup("allowed"), &expr.Verdict{Kind: expr.VerdictAccept}},
	}
}

func loadPort() expr.Any { return &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: unix.NFT_REG_1} }

// loadSender loads the source of the Ethernet header.
func loadSender(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseLLHeader, Offset: ethernetAddress, Len: ethernetAddress}
}

const ethernetAddress = 6 // bytes

// guard returns the pair that lets only mac in through hostLink.
func guard(hostLink string, mac net.HardwareAddr) pair {
	port := interfaceName(hostLink)
	return pair{
		subject: port, companion: mac, set: allowed(),
		record: []expr.Any{loadPort(), equals(port), loadSender(unix.NFT_REG_1), equals(mac)},
	}
}

// guardOf reads what guard has recorded.
func guardOf(record []expr.Any) (pair, bool) {
	if len(record) != 4 {
		return pair{}, false
	}
	port, hasPort := record[1].(*expr.Cmp)
	mac, hasMAC := record[3].(*expr.Cmp)
	if !hasPort || !hasMAC {
		return pair{}, false
	}
	p := guard(string(port.Data), mac.Data)
	return p, reflect.DeepEqual(p.record, record)
}

// GuardMAC drops the frames that come in through a bridge port, the host end of
// the owner's link, from another MAC address. It replaces what the owner had.
func GuardMAC(ctx context.Context, owner plugin.Owner, hostLink string, mac net.HardwareAddr) error {
	if len(mac) != ethernetAddress {
		return fmt.Errorf("MAC address %q of %s has %d bytes, Ethernet's have %d", mac, hostLink, len(mac), ethernetAddress)
	}
	r := spoofCheck()
	err := retrying(ctx, func(c *conn) error {
		if err := r.put(c, owner.Comment(), []pair{guard(hostLink, mac)}); err != nil {
			return err
		}
		return c.commit()
	})
	if errors.Is(err, errNoNFTables) || isUnsupported(err) {
		return fmt.Errorf("%s: %w: %w", r, errNoSpoofCheck, err)
	}
	return r.wrap(err)
}

var errNoSpoofCheck = errors.New("the MAC spoof check needs nftables in the kernel, iptables does not see layer 2:" +
	" load the modules nf_tables and nft_meta_bridge (CONFIG_NF_TABLES_BRIDGE)")

// CheckMAC says where the kernel differs from what GuardMAC would write, unless
// what versions up to 1.9 of the plugins wrote is complete.
func CheckMAC(ctx context.Context, owner plugin.Owner, hostLink string, mac net.HardwareAddr) (differences []string, err error) {
	err = withConn(ctx, func(c *conn) (err error) {
		differences, err = spoofCheck().differences(c, owner.Comment(), []pair{guard(hostLink, mac)})
		if err != nil || len(differences) == 0 {
			return err
		}
		guarded, err := guardedByUpstream(c, owner, guard(hostLink, mac))
		if guarded {
			differences = nil
		}
		return err
	})
	return differences, err
}

// UnguardMAC removes what GuardMAC wrote for the owner, and what versions up to
// 1.9 of the plugins did. What is not there is no error.
func UnguardMAC(ctx context.Context, owner plugin.Owner) error {
	return ifNFTables(ctx, func(c *conn) error { return unguard(ctx, c, owner) })
}

func unguard(ctx context.Context, c *conn, owner plugin.Owner) error {
	return errors.Join(
		spoofCheck().remove(ctx, c, owner.Comment(), nil),
		removeOldSpoofCheck(ctx, c, owner),
	)
}

// upstreamGuards is the table in which upstream's plugins have two chains for
// each attachment:
//
//	table bridge nat {
//		chain PREROUTING {
//			type filter hook prerouting priority dstnat; policy accept;
//			iifname "veth0" jump cni-br-iface-c1-eth0
//		}
//		chain cni-br-iface-c1-eth0 {
//			jump cni-br-iface-c1-eth0-mac
//		}
//		chain cni-br-iface-c1-eth0-mac {
//			ether saddr 0a:58:0a:58:00:02 return
//			drop
//		}
//	}
//
// All these rules have the comment "macspoofchk-c1-eth0".
func upstreamGuards() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyBridge, Name: "nat"}
}

func upstreamGuardChain(owner plugin.Owner) string {
	return "cni-br-iface-" + owner.ContainerID + "-" + owner.IfName
}

// guardedByUpstream tells whether upstream's rules let nothing else in through
// the port of the pair than they should.
func guardedByUpstream(c *conn, owner plugin.Owner, p pair) (bool, error) {
	table, first := upstreamGuards(), upstreamGuardChain(owner)
	second := first + "-mac"
	if exists, err := c.hasChain(table, second); !exists {
		return false, err
	}
	rulesOf := func(chain string) ([]*nftables.Rule, error) {
		return c.GetRules(table, &nftables.Chain{Table: table, Name: chain})
	}
	base, baseErr := rulesOf("PREROUTING")
	chain, chainErr := rulesOf(first)
	macs, macsErr := rulesOf(second)
	if err := errors.Join(baseErr, chainErr, macsErr); err != nil {
		return false, explain(err)
	}
	return hasRule(base, []expr.Any{loadPort(), equals(p.subject), jumpTo(first)}) &&
		sameRules(chain, [][]expr.Any{{jumpTo(second)}}) &&
		sameRules(macs, [][]expr.Any{
			{loadSender(unix.NFT_REG_1), equals(p.companion), &expr.Verdict{Kind: expr.VerdictReturn}},
			{&expr.Verdict{Kind: expr.VerdictDrop}},
		}), nil
}

// removeOldSpoofCheck removes two chains of the attachment in the table
// "bridge nat" and the rules of PREROUTING that lead to them. Their names do
// not tell the network, for which reason GC leaves them alone.
func removeOldSpoofCheck(ctx context.Context, c *conn, owner plugin.Owner) error {
	table, chain := upstreamGuards(), upstreamGuardChain(owner)
	comment := "macspoofchk-" + owner.ContainerID + "-" + owner.IfName
	return c.retrying(ctx, func(c *conn) error {
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
		if nftcomment.Of(rule.UserData) != comment {
			continue
		}
		if err := c.DelRule(&nftables.Rule{Table: chain.Table, Chain: chain, Handle: rule.Handle}); err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
	}
	return nil
}
