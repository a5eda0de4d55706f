// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/netnsalive"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
)

// allFeatures are the features Need knows.
func allFeatures() map[string]feature {
	return map[string]feature{
		"root": {"run as root, or under unshare -rmn", func() error { return nil }},

		"bridge":  kernelLink("CONFIG_BRIDGE", &netlink.Bridge{LinkAttrs: probeLink()}),
		"dummy":   kernelLink("CONFIG_DUMMY", &netlink.Dummy{LinkAttrs: probeLink()}),
		"ifb":     kernelLink("CONFIG_IFB", &netlink.Ifb{LinkAttrs: probeLink()}),
		"veth":    kernelLink("CONFIG_VETH", &netlink.Veth{LinkAttrs: probeLink(), PeerName: "peer"}),
		"vrf":     kernelLink("CONFIG_NET_VRF", &netlink.Vrf{LinkAttrs: probeLink(), Table: 77}),
		"tun":     kernelLink("CONFIG_TUN and /dev/net/tun", &netlink.Tuntap{LinkAttrs: probeLink(), Mode: netlink.TUNTAP_MODE_TAP}),
		"ipvlan":  kernelLink("CONFIG_IPVLAN", &netlink.IPVlan{LinkAttrs: probeChild(), Mode: netlink.IPVLAN_MODE_L2}),
		"macvlan": kernelLink("CONFIG_MACVLAN", &netlink.Macvlan{LinkAttrs: probeChild(), Mode: netlink.MACVLAN_MODE_BRIDGE}),
		"vlan":    kernelLink("CONFIG_VLAN_8021Q", &netlink.Vlan{LinkAttrs: probeChild(), VlanId: 7, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}),

		"bridge-vlan-filtering": {"a kernel with CONFIG_BRIDGE_VLAN_FILTERING", probeVlanFiltering},
		"conntrack":             {"a kernel with CONFIG_NF_CT_NETLINK", probeConntrack},
		"conntrack-text":        {"a kernel with CONFIG_NF_CONNTRACK_PROCFS", probeConntrackText},
		"initial-pid-namespace": {"the PID namespace of the machine itself", probeAllProcesses},
		"ipv6":                  {"a kernel with CONFIG_IPV6, not booted with ipv6.disable=1", probeIPv6},
		"mirred":                {"a kernel with CONFIG_NET_ACT_MIRRED, CONFIG_NET_CLS_U32 and CONFIG_NET_SCH_INGRESS", probeMirred},
		"namespace-ids":         {"Linux 6.18", probeNamespaceIDs},
		"nftables":              {"a kernel with CONFIG_NF_TABLES_INET", func() error { return probeNftables(nftables.TableFamilyINet) }},
		"nftables-bridge":       {"a kernel with CONFIG_NF_TABLES_BRIDGE", func() error { return probeNftables(nftables.TableFamilyBridge) }},
		"nftables-meta-bridge":  {"a kernel with CONFIG_NFT_BRIDGE_META", probeMetaBridge},
		"policy-routing":        {"a kernel with CONFIG_IP_MULTIPLE_TABLES", probePolicyRouting},
		"sctp":                  {"a kernel with CONFIG_IP_SCTP", probeSCTP},
		"spare-nic":             {"a kernel with CONFIG_E1000, and QEMU's network card, which nobody uses", probeSpareNIC},
		"tbf":                   {"a kernel with CONFIG_NET_SCH_TBF", probeTbf},

		"iptables":         iptables("iptables"),
		"iptables-nft":     iptables("iptables-nft"),
		"iptables-legacy":  iptables("iptables-legacy"),
		"ip6tables":        iptables("ip6tables"),
		"ip6tables-nft":    iptables("ip6tables-nft"),
		"ip6tables-legacy": iptables("ip6tables-legacy"),

		"conntrack-tool": tool("conntrack", "conntrack", "--version"),
		"dbus-daemon":    tool("dbus", "dbus-daemon", "--version"),
		"firewalld":      tool("firewalld", "firewalld", "--help"),
		"ip-tool":        tool("iproute2", "ip", "-V"),
		"nft-tool":       tool("nftables", "nft", "list", "ruleset"),
		"qemu-aarch64":   tool("qemu-user", "qemu-aarch64", "--version"),
		"qemu-x86_64":    tool("qemu-user", "qemu-x86_64", "--version"),
		"strace":         tool("strace", "strace", "-V"),
		"systemd":        tool("systemd", "/lib/systemd/systemd", "--version"),
		"ping-tool":      tool("iputils-ping", "ping", "-V"),
		"tcpdump":        tool("tcpdump", "tcpdump", "--version"),
	}
}

const parentName = "parent"

// probeAllProcesses looks for a namespace that does not exist.
func probeAllProcesses() error {
	_, err := netnsalive.Gone(map[string]netnsalive.ID{"none": {Inode: 1}})
	return err
}

func probeNamespaceIDs() error {
	if netnsalive.At("/proc/self/ns/net").Unique == 0 {
		return errors.ErrUnsupported
	}
	return nil
}

func probeLink() netlink.LinkAttrs {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "probe"
	return attrs
}

// probeChild are the attributes of a link on top of another, which kernelLink
// makes first.
func probeChild() netlink.LinkAttrs {
	attrs := probeLink()
	attrs.Alias = parentName
	return attrs
}

// kernelLink is the ability to make a link like this.
func kernelLink(option string, link netlink.Link) feature {
	return feature{"a kernel with " + option, func() error { return probeLinkType(link) }}
}

func probeLinkType(link netlink.Link) error {
	attrs := link.Attrs()
	if attrs.Alias == parentName {
		parent, err := addParent()
		if err != nil {
			return err
		}
		attrs.Alias, attrs.ParentIndex = "", parent.Attrs().Index
	}
	return addLink(link)
}

// addParent makes a link others can sit on: a veth, or where there is none a
// dummy.
func addParent() (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = parentName
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "parentpeer"}
	if addLink(veth) == nil {
		return veth, nil
	}
	dummy := &netlink.Dummy{LinkAttrs: attrs}
	return dummy, addLink(dummy)
}

func addLink(link netlink.Link) error {
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("make a %s: %w", link.Type(), err)
	}
	return nil
}

// probeVlanFiltering reads the setting back: a kernel without it ignores it.
func probeVlanFiltering() error {
	enabled := true
	if err := addLink(&netlink.Bridge{LinkAttrs: probeLink(), VlanFiltering: &enabled}); err != nil {
		return err
	}
	link, err := netlinksafe.LinkByName("probe")
	if err != nil {
		return err
	}
	bridge, ok := link.(*netlink.Bridge)
	if !ok || bridge.VlanFiltering == nil || !*bridge.VlanFiltering {
		return errors.New("vlan_filtering stays off")
	}
	return nil
}

func probeConntrack() error {
	tuple := netlink.IPTuple{SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 2}, SrcPort: 1, DstPort: 2, Protocol: unix.IPPROTO_UDP}
	reply := netlink.IPTuple{SrcIP: tuple.DstIP, DstIP: tuple.SrcIP, SrcPort: 2, DstPort: 1, Protocol: unix.IPPROTO_UDP}
	flow := &netlink.ConntrackFlow{FamilyType: unix.AF_INET, Forward: tuple, Reverse: reply, TimeOut: 10}
	if err := netlink.ConntrackCreate(netlink.ConntrackTable, netlink.FAMILY_V4, flow); err != nil {
		return fmt.Errorf("track a connection: %w", err)
	}
	return nil
}

func probeConntrackText() error {
	_, err := os.Stat("/proc/thread-self/net/nf_conntrack")
	return err
}

func probeIPv6() error {
	addr, err := netlink.ParseAddr("2001:db8::1/128")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo"}}, addr); err != nil {
		return fmt.Errorf("add an IPv6 address to lo: %w", err)
	}
	return nil
}

func probeMirred() error {
	link, err := addParent()
	if err != nil {
		return err
	}
	ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
	}}
	if err := netlink.QdiscAdd(ingress); err != nil {
		return fmt.Errorf("add an ingress qdisc: %w", err)
	}
	redirect := &netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: link.Attrs().Index, Parent: ingress.Handle, Priority: 1, Protocol: unix.ETH_P_ALL},
		Actions:     []netlink.Action{netlink.NewMirredAction(link.Attrs().Index)},
	}
	if err := netlink.FilterAdd(redirect); err != nil {
		return fmt.Errorf("redirect with a u32 filter: %w", err)
	}
	return nil
}

func probeTbf() error {
	link, err := addParent()
	if err != nil {
		return err
	}
	tbf := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       1_000_000, Limit: 1_000_000, Buffer: 1_000_000,
	}
	if err := netlink.QdiscAdd(tbf); err != nil {
		return fmt.Errorf("add a tbf qdisc: %w", err)
	}
	return nil
}

func probePolicyRouting() error {
	rule := netlink.NewRule()
	rule.Table, rule.Priority = 77, 77
	if err := netlink.RuleAdd(rule); err != nil {
		return fmt.Errorf("add a routing rule: %w", err)
	}
	return nil
}

func probeSCTP() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return fmt.Errorf("open an SCTP socket: %w", err)
	}
	return unix.Close(socket)
}

// probeNftables masquerades in a table of the family, or filters where there
// is nothing to translate.
func probeNftables(family nftables.TableFamily) error {
	conn, closeConn, err := nftHere()
	if err != nil {
		return err
	}
	defer closeConn()
	table := conn.AddTable(&nftables.Table{Family: family, Name: "probe"})
	chain := &nftables.Chain{Table: table, Name: "probe", Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource}
	if family == nftables.TableFamilyBridge {
		chain.Type, chain.Hooknum, chain.Priority = nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityFilter
	}
	conn.AddChain(chain)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("add an nftables chain: %w", err)
	}
	return nil
}

// probeMetaBridge has a rule ask for the bridge that a frame came in by.
func probeMetaBridge() error {
	return run("nft", "add table bridge probe; add chain bridge probe probe; add rule bridge probe probe meta ibrname br0 drop")
}

// iptables is the ability to masquerade with a command of the family.
func iptables(command string) feature {
	return feature{"the " + command + " command (package iptables) and a kernel with what it uses", func() error {
		return run(command, "-t", "nat", "-A", "POSTROUTING", "-m", "comment", "--comment", "probe", "-j", "MASQUERADE")
	}}
}

// tool is a command that works.
func tool(pkg string, command string, args ...string) feature {
	return feature{fmt.Sprintf("the %s command (package %s)", command, pkg), func() error { return run(command, args...) }}
}

func run(command string, args ...string) error {
	out, err := exec.Command(command, args...).CombinedOutput()
	if err != nil && len(out) > 0 {
		return fmt.Errorf("%s: %w: %s", command, err, strings.TrimSpace(string(out)))
	}
	return err
}

// probeSpareNIC looks for a piece of hardware that does not come with the
// namespace it is needed in.
func probeSpareNIC() error {
	initial, err := ns.GetNS(InitialNetns)
	if err != nil {
		return err
	}
	defer initial.Close()
	_, err = ns.Call(initial, SpareNIC)
	return err
}

// InitialNetns is where the network namespace is to which the kernel brings
// hardware back.
const InitialNetns = "/proc/1/ns/net"

// SpareNIC returns a network card in the current namespace that may be tried
// things with. QEMU gives this address to a machine's first card unless it is
// told another; one that is in use is up.
func SpareNIC() (netlink.Link, error) {
	links, err := netlinksafe.LinkList()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		attrs := l.Attrs()
		if l.Type() == "device" && attrs.HardwareAddr.String() == "52:54:00:12:34:56" && attrs.RawFlags&unix.IFF_UP == 0 {
			return l, nil
		}
	}
	return nil, errors.New("there is no such card")
}
