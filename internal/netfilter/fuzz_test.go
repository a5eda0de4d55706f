// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/nftcomment"
)

// What is read here has been written by others: by iptables-save, by the
// kernel about rules of anybody, into configurations and into files below /run.

// someOwner is whoever asks.
func someOwner() plugin.Owner {
	return plugin.Owner{Network: "net", ContainerID: "c1", IfName: "eth0"}
}

func noAttachments() plugin.Attachments {
	return plugin.NewAttachments("net", []types.GCAttachment{{ContainerID: "c2", IfName: "eth0"}})
}

// strangers are holders of whom nothing is known.
type strangers struct{ gone bool }

func (s strangers) Gone(string) bool                      { return s.gone }
func (s strangers) ContainerGone(string, string) bool     { return s.gone }
func (strangers) Siblings(owner plugin.Owner) []HostPorts { return nil }

func somePorts() HostPorts {
	return HostPorts{
		Containers: []netip.Prefix{netip.MustParsePrefix("10.1.0.2/24"), netip.MustParsePrefix("fd00::2/64")},
		Mappings:   []PortMapping{{Protocol: "tcp", HostPort: 8080, ContainerPort: 80}, {Protocol: "udp", HostIP: netip.MustParseAddr("192.0.2.1"), HostPort: 53, ContainerPort: 53}},
		SNAT:       true, MarkBit: 13,
	}
}

// FuzzSavedTable wants every rule to be written as it was read, and every change
// to be one that needs no further change.
func FuzzSavedTable(f *testing.F) {
	f.Add("*filter\n:FORWARD ACCEPT [0:0]\n:CNI-FORWARD - [0:0]\n:CNI-FW-x - [0:0]\n-A CNI-FORWARD -s 10.1.0.2/32 -j ACCEPT\n-A CNI-FW-x -s 10.1.0.2/32 -m comment --comment \"net/c1/eth0\"\nCOMMIT\n")
	f.Add("*nat\n:CNI-HOSTPORT-DNAT - [0:0]\n:CNI-DN-x - [0:0]\n-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment \"dnat name: \\\"net\\\" id: \\\"c3\\\"\" -m multiport --dports 8080 -j CNI-DN-x\n" +
		"-A CNI-DN-x -d 192.0.2.1/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.1.0.9:53\n-A CNI-DN-x -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.1.0.9:80\n")
	f.Add(":A\n-A A -j\n-A B --comment \"half\\\n-A  -j \"\" x")
	f.Fuzz(func(t *testing.T, text string) {
		for chain, rules := range parseTable(text) {
			for _, rule := range rules {
				if again := splitSaved("-A x " + rule.String()); !slices.Equal(again[2:], rule) {
					t.Errorf("chain %q: %q is written as %q and read as %q", chain, rule, rule.String(), again[2:])
				}
			}
		}
		for _, family := range families() {
			wantSettled(t, text, func(d *draft) { d.open(someOwner(), somePassage(), family.singles(somePassage().Addrs)) })
			wantSettled(t, text, func(d *draft) { d.close(passageRecord(someOwner()), family.singles(somePassage().Addrs)) })
			readPorts(family, parseTable(text))
		}
	})
}

func somePassage() Passage {
	return Passage{
		Addrs:      []netip.Addr{netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("fd00::2")},
		AdminChain: "CNI-ADMIN", Ingress: Ingress{Bridge: "br0", Policy: IngressIsolated},
	}
}

// wantSettled wants a plan that was carried out to have nothing more to do.
func wantSettled(t *testing.T, text string, plan func(*draft)) {
	d := &draft{table: parseTable(text)}
	plan(d)
	again := &draft{table: d.table}
	plan(again)
	if len(again.lines) > 0 {
		t.Errorf("after %q there is more to do: %q", d.lines, again.lines)
	}
}

func readPorts(f family, table savedTable) {
	for _, s := range []strangers{{true}, {false}} {
		_, _ = f.heldIn(table, someOwner(), somePorts(), s)
	}
	f.portsDiffer(table, someOwner(), somePorts(), strangers{})
	table.entriesOf(func(comment string) bool { return staleEntry(noAttachments(), comment) })
	d := &draft{table: table}
	d.shareChains(somePorts())
	f.fillChain(d, someOwner(), []HostPorts{somePorts()})
}

// FuzzSavedChain wants no list of rules to end in a panic.
func FuzzSavedChain(f *testing.F) {
	f.Add("*nat\n:POSTROUTING ACCEPT [0:0]\n:CNI-a - [0:0]\n-A POSTROUTING -s 10.1.0.2/32 -m comment --comment \"name: \\\"net\\\" id: \\\"c\\\"\" -j CNI-a\n-A CNI-a -d 10.1.0.0/24 -j ACCEPT\n-A CNI-a ! -d 224.0.0.0/4 -j MASQUERADE\n")
	f.Add(":CNI-\n-A POSTROUTING -s x -j CNI-\n-A CNI- -j")
	f.Fuzz(func(t *testing.T, text string) {
		known := []netip.Prefix{netip.MustParsePrefix("10.1.0.2/24"), netip.MustParsePrefix("fd00::2/64")}
		for _, chain := range parseSave(text) {
			rest := chain.without(known)
			if chain.rulesNotIn(rest); len(rest.jumps) > len(chain.jumps) || len(rest.accepts) > len(chain.accepts) {
				t.Errorf("%v has more rules without an attachment: %v", chain, rest)
			}
			chain.stale(noAttachments())
		}
	})
}

// FuzzConditions wants conditions that are accepted to have expressions that the
// kernel can be told, and to be the same every time.
func FuzzConditions(f *testing.F) {
	f.Add("ip saddr != { 192.0.2.1, 192.0.2.2 }\niifname veth* tcp dport 1-2")
	f.Add("ip6 daddr ::/0 meta mark 0x1 sctp sport 65535-65535")
	f.Add("ip saddr {}\nudp dport 2-1 iifname \"\"")
	f.Fuzz(func(t *testing.T, text string) {
		for _, family := range families() {
			exprs, err := family.compile(strings.Split(text, "\n"))
			if err != nil {
				continue
			}
			for _, e := range exprs {
				if _, err := expr.Marshal(byte(family.table), e); err != nil {
					t.Errorf("%q: %v", text, err)
				}
			}
			again, _ := family.compile(strings.Split(text, "\n"))
			if len(exprs) == 0 || family.class(exprs) != family.class(again) {
				t.Errorf("%q is %v and then %v", text, exprs, again)
			}
		}
	})
}

// FuzzElements wants no answer of the kernel about elements, whose comments
// anybody may have written, to end in a panic.
func FuzzElements(f *testing.F) {
	f.Add([]byte{unix.NFPROTO_IPV4, 0, 0, 0, 40, 0, 3, 0x80, 36, 0, 1, 0x80, 8, 0, 1, 0x80, 4, 0, 1, 0, 9, 0, 6, 0, 0, 3, 'a', '/', 'b'})
	f.Add([]byte{0, 0, 0})
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = elementsIn([]netlink.Message{{Data: data}})
		comment := nftcomment.Of(data)
		_ = errHeldBy(somePorts().Mappings[0], comment)
		_, _, _ = holderIn(comment)
		_ = recordedName(comment)
	})
}

// recordedName is the name of the record of whoever has a comment.
func recordedName(comment string) string {
	return families()[0].passing().recordChain(comment).Name
}

// FuzzRules wants no rule of anybody to end in a panic, and none to be taken for
// one of ours that compares with anything but an address.
func FuzzRules(f *testing.F) {
	f.Add([]byte{0, 12, 4, 1, 4, 0, 10, 1, 0, 2, 7, 1})
	f.Add([]byte{0, 16, 4, 2, 4, 255, 255, 0, 0, 1, 4, 1, 10, 1, 0, 0, 4, 8, 8})
	f.Add([]byte{0, 12, 4, 5, 1, 16, 0, 0, 0, 7, 0})
	f.Fuzz(func(t *testing.T, program []byte) {
		rule := &nftables.Rule{Exprs: expressions(program), UserData: program}
		for _, family := range families() {
			for _, at := range []uint32{family.saddr, family.daddr} {
				if prefix := family.prefixAt(rule, at); prefix.IsValid() && prefix.Addr().Is4() != family.isIPv4() {
					t.Errorf("%v is no prefix of the family", prefix)
				}
			}
			family.passesInNFT(rule)
			barrierOf(&nftables.Chain{Table: family.filterTable()}, []*nftables.Rule{rule})
			family.leadsTo(rule)
			family.passing().soundBase([]*nftables.Rule{rule})
			family.registry().soundBase([]*nftables.Rule{rule, rule})
			family.portTable().conditional([]*nftables.Rule{rule}, nil)
			family.portTable().sourceLookups([]*nftables.Rule{rule}, nil)
			for _, read := range []func([]expr.Any) (pair, bool){family.pairOf, family.addressOf, ingressOf, guardOf} {
				if p, ok := read(rule.Exprs); ok {
					family.registry().items([]pair{p})
				}
			}
		}
		_ = ruleComment(rule)
	})
}

// expressions turns bytes into what a rule may consist of.
func expressions(program []byte) []expr.Any {
	next := func() byte {
		if len(program) == 0 {
			return 0
		}
		b := program[0]
		program = program[1:]
		return b
	}
	some := func() []byte {
		n := min(int(next()), len(program))
		data := program[:n]
		program = program[n:]
		return data
	}
	var exprs []expr.Any
	for len(program) > 0 {
		switch next() % 10 {
		case 0:
			exprs = append(exprs, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: uint32(next()), Len: uint32(next())})
		case 1:
			exprs = append(exprs, &expr.Cmp{Register: 1, Data: some(), Op: expr.CmpOp(next() % 6)})
		case 2:
			exprs = append(exprs, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Mask: some(), Xor: some()})
		case 3:
			exprs = append(exprs, &expr.Meta{Key: expr.MetaKey(next()), Register: 1})
		case 4:
			exprs = append(exprs, &expr.Immediate{Register: 1, Data: some()})
		case 5:
			exprs = append(exprs, &expr.Lookup{SourceRegister: 1, SetName: string(some())})
		case 6:
			comment := xt.Comment(some())
			exprs = append(exprs, &expr.Match{Name: "comment", Info: &comment})
		case 7:
			exprs = append(exprs, &expr.Verdict{Kind: expr.VerdictKind(int8(next())), Chain: string(some())})
		case 8:
			exprs = append(exprs, &expr.Masq{})
		case 9:
			exprs = append(exprs, &expr.Ct{Key: expr.CtKey(next()), Register: 1})
		}
	}
	return exprs
}

// FuzzHostPorts wants no content of an intent to end in a panic: whoever can
// write below /run/cni can write anything.
func FuzzHostPorts(f *testing.F) {
	f.Add(`{"containers":["10.88.0.2/16","fd00::2/64"],"mappings":[{"protocol":"tcp","hostPort":8080,"containerPort":80}],"snat":true,"markBit":13}`)
	f.Add(`{"containers":["",null],"mappings":[{},null,{"protocol":"x","hostIP":"fe80::1%eth0"}],"snat":true,"masqAll":true,"markBit":-7,"conditionsV4":["-s"],"conditionsV6":[""]}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var ports HostPorts
		_ = json.Unmarshal([]byte(text), &ports)
		for _, family := range families() {
			_, _ = family.portTable().entries(ports)
			family.portsDiffer(savedTable{containerChain(someOwner(), "DN-"): nil}, someOwner(), ports, strangers{})
			d := &draft{table: savedTable{}}
			d.shareChains(ports)
			family.fillChain(d, someOwner(), []HostPorts{ports})
			_ = d.input("nat")
		}
	})
}

// FuzzPassage is FuzzHostPorts for the firewall plugin.
func FuzzPassage(f *testing.F) {
	f.Add(`{"addresses":["10.1.0.2","fd01::2"],"adminChain":"CNI-ADMIN","ingress":{"bridge":"cni0","policy":"same-bridge"}}`)
	f.Add(`{"addresses":["",null,"::ffff:10.1.0.2","fe80::1%eth0"],"ingress":{"bridge":"a name that is too long for a bridge","policy":"isolated"}}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var p Passage
		_ = json.Unmarshal([]byte(text), &p)
		for _, family := range families() {
			family.passing().items(family.addresses(p))
			d := &draft{table: savedTable{}}
			d.open(someOwner(), p, family.singles(p.Addrs))
			_ = d.input("filter")
		}
		isolation().items(p.Ingress.routed())
		bridgedIsolation().items(p.Ingress.bridged())
	})
}
