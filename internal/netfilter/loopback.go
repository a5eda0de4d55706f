// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/netnsalive"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// The loopback guard is for devices with route_localnet, by which the kernel also lets
// those in who send to the host's 127.0.0.0/8, or as if they were there
// (CVE-2020-8558):
//
//	table ip cni_loopback {
//		set opened {
//			type ifname
//			elements = { "cni0" }
//		}
//		chain prerouting {
//			type filter hook prerouting priority raw; policy accept;
//			iifname @opened ip daddr 127.0.0.0/8 drop
//			iifname @opened ip saddr 127.0.0.0/8 drop
//		}
//	}
//
// What the host itself has sent from there has another address by the time it comes
// back. Devices stay in the set for as long as they are there, as their setting does. A
// kernel without nf_tables gets both rules in table raw of iptables.
const loopbackTable = "cni_loopback"

type loopbackGuard struct {
	table nftables.Table
	chain nftables.Chain
	rules [][]expr.Any
}

func newLoopbackGuard() *loopbackGuard {
	policy := nftables.ChainPolicyAccept
	g := &loopbackGuard{table: nftables.Table{Family: nftables.TableFamilyIPv4, Name: loopbackTable}}
	g.chain = nftables.Chain{
		Table: &g.table, Name: "prerouting", Type: nftables.ChainTypeFilter, Policy: &policy,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw,
	}
	for _, address := range []uint32{families()[0].daddr, families()[0].saddr} {
		first := &expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: address, Len: 1}
		g.rules = append(g.rules, []expr.Any{loadPort(), lookup("opened"), first, equals([]byte{127}), &expr.Verdict{Kind: expr.VerdictDrop}})
	}
	return g
}

func (g *loopbackGuard) devices() *nftables.Set {
	return &nftables.Set{Table: &g.table, Name: "opened", KeyType: nftables.TypeIFName}
}

// GuardLoopback has the host drop what comes in by a device and goes to its loopback
// addresses, or claims to come from there. Doing it again changes nothing.
func GuardLoopback(ctx context.Context, device string) error {
	if newLoopbackGuard().hasDevice(device) { // which came with the rules
		return nil
	}
	return RestoreLoopbackGuard(ctx, device)
}

// hasDevice asks with a socket of less preparation than a conn has: of most devices
// the answer is yes.
func (g *loopbackGuard) hasDevice(device string) bool {
	conn, err := netlinksafe.DialProtocol(unix.NETLINK_NETFILTER)
	if err != nil {
		return false
	}
	defer conn.Close()
	attributes, _ := netlink.MarshalAttributes(elementOf(g.devices(), interfaceName(device))) // fails on attributes of 64 KiB only
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETSETELEM, 0)
	request.AddRawData(append(nfgenmsg(g.table.Family), attributes...))
	answer, err := conn.Execute(request)
	return err == nil && len(answer) > 0
}

// RestoreLoopbackGuard is GuardLoopback, and looks at the rules, too. If it writes, and
// many devices are gone, they are forgotten.
func RestoreLoopbackGuard(ctx context.Context, device string) error {
	g := newLoopbackGuard()
	err := withConn(ctx, func(c *conn) error {
		written, err := g.guard(ctx, c, device)
		if !written || err != nil {
			return err
		}
		const many = 16 // a transaction that deletes something keeps the next waiting: see registry.put
		return g.forgetGone(ctx, c, many)
	})
	if errors.Is(err, errNoNFTables) {
		return families()[0].guardLoopback(ctx, device)
	}
	return g.wrap(err)
}

func (g *loopbackGuard) guard(ctx context.Context, c *conn, device string) (written bool, err error) {
	err = c.retrying(ctx, func(c *conn) error {
		guarded, err := g.guards(c, device)
		if guarded || err != nil {
			return err
		}
		written = true
		if err := g.queue(c, device); err != nil {
			return err
		}
		return c.commit()
	})
	return written, err
}

// forgetGone forgets devices that are gone, if they are as many as that. One that has
// come back meanwhile may belong to who has found it guarded.
func (g *loopbackGuard) forgetGone(ctx context.Context, c *conn, atLeast int) error {
	var gone []string
	err := c.retrying(ctx, func(c *conn) error {
		listed, err := c.elements(g.devices())
		if err != nil {
			return err
		}
		gone = nil
		var keys []nftables.SetElement
		for _, e := range listed {
			if name := text(e.key); isNoLink(name) {
				gone, keys = append(gone, name), append(keys, nftables.SetElement{Key: e.key})
			}
		}
		if len(gone) < atLeast || areBornOpen() {
			gone = nil
			return nil
		}
		if err := c.deleteElements(g.devices(), keys); err != nil {
			return err
		}
		return c.commit()
	})
	if err != nil {
		return err
	}
	for _, name := range slices.DeleteFunc(gone, isNoLink) {
		if _, err := g.guard(ctx, c, name); err != nil {
			return err
		}
	}
	return nil
}

func isNoLink(name string) bool { return !netnsalive.HasLink(name) }

// areBornOpen tells whether a device has route_localnet from the start. Then one of the
// same name must find the guard of the one that is gone.
func areBornOpen() bool {
	value, err := plainfile.Read("/proc/sys/net/ipv4/conf/default/route_localnet")
	return err != nil || string(bytes.TrimSpace(value)) != "0"
}

// LoopbackGuarded tells whether there is what GuardLoopback would write.
func LoopbackGuarded(ctx context.Context, device string) (guarded bool, err error) {
	g := newLoopbackGuard()
	err = withConn(ctx, func(c *conn) error {
		guarded, err = g.guards(c, device)
		return err
	})
	if errors.Is(err, errNoNFTables) {
		return families()[0].loopbackGuarded(ctx, device)
	}
	return guarded, g.wrap(err)
}

func (g *loopbackGuard) wrap(err error) error {
	if err != nil {
		return fmt.Errorf("table ip %s: %w", g.table.Name, err)
	}
	return nil
}

func (g *loopbackGuard) guards(c *conn, device string) (bool, error) {
	listed, err := c.element(g.devices(), interfaceName(device))
	if listed == nil || err != nil {
		return false, err
	}
	rules, err := c.GetRules(&g.table, &g.chain)
	return sameRules(rules, g.rules), explain(err)
}

func (g *loopbackGuard) queue(c *conn, device string) error {
	c.AddTable(&g.table)
	set := g.devices()
	set.ID = 1                                 // as in queueSet
	set.KeyByteOrder = binaryutil.NativeEndian // and this
	if err := c.AddSet(set, nil); err != nil {
		return err
	}
	c.AddChain(&g.chain)
	c.FlushChain(&g.chain)
	for _, rule := range g.rules {
		c.AddRule(&nftables.Rule{Table: &g.table, Chain: &g.chain, Exprs: rule})
	}
	return c.addElements(set, []nftables.SetElement{{Key: interfaceName(device)}})
}

// interfaceName is the name of an interface as nftables has it.
func interfaceName(name string) []byte {
	data := make([]byte, unix.IFNAMSIZ)
	copy(data, name)
	return data
}

// With iptables.

func loopbackRules(device string) []ruleWords {
	return []ruleWords{{"-s", "127.0.0.0/8", "-i", device, "-j", "DROP"}, {"-d", "127.0.0.0/8", "-i", device, "-j", "DROP"}}
}

func (f family) guardLoopback(ctx context.Context, device string) error {
	return f.change(ctx, "raw", func(d *draft) error {
		if d.table.guardsLoopback(device) {
			return nil
		}
		d.forgetGoneDevices()
		for _, rule := range loopbackRules(device) {
			d.prepend("PREROUTING", rule)
		}
		return nil
	})
}

// forgetGoneDevices starts programs only if the kernel's legacy table has such rules.
func (f family) forgetGoneDevices(ctx context.Context) error {
	const fromLoopback = "\x7f\x00\x00\x00" + "\x00\x00\x00\x00" + "\xff\x00\x00\x00" // source, destination, mask: struct ipt_ip
	if !f.legacyMentions("raw", fromLoopback) {
		return nil
	}
	return f.change(ctx, "raw", func(d *draft) error {
		d.forgetGoneDevices()
		return nil
	})
}

// forgetGoneDevices deletes the rules of devices that are gone, where both are there. A
// name that ends in + is a pattern.
func (d *draft) forgetGoneDevices() {
	if areBornOpen() {
		return
	}
	for _, rule := range slices.Clone(d.table["PREROUTING"]) {
		device := after(rule, "-i")
		ours := slices.Equal(rule, loopbackRules(device)[0]) && d.table.guardsLoopback(device) && !strings.HasSuffix(device, "+")
		if ours && isNoLink(device) {
			for _, rule := range loopbackRules(device) {
				d.delete("PREROUTING", rule)
			}
		}
	}
}

func (f family) loopbackGuarded(ctx context.Context, device string) (bool, error) {
	table, err := f.saved(ctx, "raw")
	return err == nil && table.guardsLoopback(device), err
}

func (t savedTable) guardsLoopback(device string) bool {
	lacks := func(rule ruleWords) bool { return t.index("PREROUTING", rule) < 0 }
	return !slices.ContainsFunc(loopbackRules(device), lacks)
}
