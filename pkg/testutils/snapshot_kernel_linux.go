// SPDX-License-Identifier: Apache-2.0

package testutils

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// kernelView turns what netlink says about the current namespace into lines. It
// asks everything through one socket, keeps the links to replace their indexes by
// names, and the tables of nftables to list the rules of those there are.
type kernelView struct {
	handle netlinksafe.Handle
	links  []netlink.Link
	tables []*nftables.Table
}

func newKernelView() (kernelView, error) {
	handle, err := netlinksafe.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return kernelView{}, fmt.Errorf("snapshot: %w", err)
	}
	links, linksErr := handle.LinkList()
	tables, tablesErr := nftTables()
	if err := errors.Join(linksErr, tablesErr); err != nil {
		handle.Close()
		return kernelView{}, fmt.Errorf("snapshot: %w", err)
	}
	return kernelView{handle, links, tables}, nil
}

func (k kernelView) close() { k.handle.Close() }

func (k kernelView) byIndex(index int) netlink.Link {
	at := slices.IndexFunc(k.links, func(link netlink.Link) bool { return link.Attrs().Index == index })
	if at < 0 {
		return nil
	}
	return k.links[at]
}

// name is the name of a link, "" for none.
func (k kernelView) name(index int) string {
	link := k.byIndex(index)
	switch {
	case index == 0:
		return ""
	case link == nil:
		return "(gone)"
	}
	return link.Attrs().Name
}

// line collects the words that describe one object.
type line struct{ words []string }

// add appends a word, unless the value is one that says nothing.
func (l *line) add(name string, value any) {
	switch text := fmt.Sprint(value); text {
	case "", "0", "-1", "false", "[]", "<nil>":
	default:
		l.words = append(l.words, name+" "+text)
	}
}

func (l *line) String() string { return strings.Join(l.words, " ") }

// lines describes every object that is not to be left out (""), sorted.
func lines[T any](objects []T, describe func(T) string) []string {
	var all []string
	for _, object := range objects {
		if text := describe(object); text != "" {
			all = append(all, text)
		}
	}
	slices.Sort(all)
	return all
}

func (k kernelView) linkLines() ([]string, error) {
	var failed error
	all := lines(k.links, func(link netlink.Link) string {
		text, err := k.linkLine(link)
		if err != nil {
			failed = err
		}
		return text
	})
	return all, failed
}

func (k kernelView) linkLine(link netlink.Link) (string, error) {
	attrs := link.Attrs()
	var l line
	l.add("link", attrs.Name)
	l.add("type", link.Type())
	l.add("master", k.name(attrs.MasterIndex))
	l.add("parent", k.parent(attrs))
	l.add("mtu", attrs.MTU)
	l.add("mac", attrs.HardwareAddr)
	l.add("flags", linkFlags(attrs.RawFlags))
	l.add("alias", attrs.Alias)
	l.add("altnames", attrs.AltNames)
	l.add("txqlen", attrs.TxQLen)
	l.add("group", attrs.Group)
	l.add("with", linkDetails(link))
	port, err := k.bridgePort(link)
	l.add("port", port)
	return l.String(), err
}

// parent is the link below, or the other end of a veth. One in another
// namespace is told by an index that means nothing here.
func (k kernelView) parent(attrs *netlink.LinkAttrs) string {
	if attrs.NetNsID >= 0 {
		return "elsewhere"
	}
	return k.name(attrs.ParentIndex)
}

func linkFlags(raw uint32) string {
	flags := []string{"down"}
	if raw&unix.IFF_UP != 0 {
		flags[0] = "up"
	}
	for _, flag := range []struct {
		bit  uint32
		name string
	}{{unix.IFF_NOARP, "noarp"}, {unix.IFF_PROMISC, "promisc"}, {unix.IFF_ALLMULTI, "allmulticast"}} {
		if raw&flag.bit != 0 {
			flags = append(flags, flag.name)
		}
	}
	return strings.Join(flags, ",")
}

// linkDetails are the settings of the types of links that plugins make.
func linkDetails(link netlink.Link) string {
	var l line
	switch link := link.(type) {
	case *netlink.Bridge:
		if link.VlanFiltering != nil {
			l.add("vlan_filtering", *link.VlanFiltering)
		}
		if link.VlanDefaultPVID != nil {
			l.add("default_pvid", *link.VlanDefaultPVID)
		}
	case *netlink.Vlan:
		l.add("vlan", link.VlanId)
	case *netlink.Macvlan:
		l.add("mode", link.Mode)
	case *netlink.IPVlan:
		l.add("mode", link.Mode)
	case *netlink.Vrf:
		l.add("table", link.Table)
	}
	return l.String()
}

// bridgePort are the settings of a link that is a port of a bridge.
func (k kernelView) bridgePort(link netlink.Link) (string, error) {
	if _, isPort := k.byIndex(link.Attrs().MasterIndex).(*netlink.Bridge); !isPort {
		return "", nil
	}
	port, err := k.handle.LinkGetProtinfo(link)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(port.String()), nil
}

func (k kernelView) vlanLines() ([]string, error) {
	vlans, err := k.handle.BridgeVlanList()
	if err != nil {
		return nil, err
	}
	var all []string
	for index, list := range vlans {
		for _, vlan := range list {
			all = append(all, fmt.Sprintf("vlan %d dev %s flags %#x", vlan.Vid, k.name(int(index)), vlan.Flags))
		}
	}
	slices.Sort(all)
	return all, nil
}

func (k kernelView) addrLines() ([]string, error) {
	addrs, err := netlinksafe.AddrList(nil, netlink.FAMILY_ALL)
	return lines(addrs, k.addrLine), err
}

// addrFlags are the flags of an address that somebody sets; the others tell
// what the kernel is doing with it.
const addrFlags = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_MCAUTOJOIN

func (k kernelView) addrLine(addr netlink.Addr) string {
	if isLinkLocal6(addr.IP) {
		return ""
	}
	var l line
	l.add("addr", addr.IPNet)
	l.add("dev", k.name(addr.LinkIndex))
	l.add("scope", addr.Scope)
	l.add("label", addr.Label)
	l.add("peer", addr.Peer)
	l.add("brd", addr.Broadcast)
	l.add("flags", addr.Flags&addrFlags)
	return l.String()
}

func (k kernelView) routeLines() ([]string, error) {
	var all []netlink.Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		// A table of 0 in the filter means every table.
		routes, err := k.handle.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, err
		}
		all = append(all, routes...)
	}
	return lines(all, k.routeLine), nil
}

func (k kernelView) routeLine(route netlink.Route) string {
	if addsItself(route) {
		return ""
	}
	var l line
	l.add("route", route.Dst)
	l.add("type", route.Type)
	l.add("table", route.Table)
	l.add("via", route.Gw)
	l.add("via", route.Via)
	l.add("dev", k.name(route.LinkIndex))
	l.add("iif", k.name(route.ILinkIndex))
	l.add("src", route.Src)
	l.add("proto", int(route.Protocol))
	l.add("scope", int(route.Scope))
	l.add("metric", route.Priority)
	l.add("tos", route.Tos)
	l.add("mtu", route.MTU)
	l.add("advmss", route.AdvMSS)
	l.add("onlink", route.Flags&unix.RTNH_F_ONLINK)
	l.add("encap", route.Encap)
	l.add("nexthops", lines(route.MultiPath, k.nexthopLine))
	return l.String()
}

func (k kernelView) nexthopLine(hop *netlink.NexthopInfo) string {
	var l line
	l.add("via", hop.Gw)
	l.add("via", hop.Via)
	l.add("dev", k.name(hop.LinkIndex))
	l.add("weight", hop.Hops+1)
	l.add("onlink", hop.Flags&unix.RTNH_F_ONLINK)
	return l.String()
}

// addsItself tells whether the kernel added an IPv6 route as a consequence of
// an address or a link coming up, when duplicate address detection is over.
func addsItself(route netlink.Route) bool {
	if route.Family != netlink.FAMILY_V6 || route.Protocol != unix.RTPROT_KERNEL {
		return false
	}
	return route.Table == unix.RT_TABLE_LOCAL || route.Dst != nil && isLinkLocal6(route.Dst.IP)
}

func isLinkLocal6(ip net.IP) bool {
	return ip.To4() == nil && (ip.IsLinkLocalUnicast() || ip.IsMulticast())
}

func (k kernelView) ruleLines() ([]string, error) {
	var all []netlink.Rule
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rules, err := k.handle.RuleList(family)
		if err != nil {
			return nil, err
		}
		all = append(all, rules...)
	}
	return lines(all, ruleLine), nil
}

// isVRFs tells whether a rule is the one by which VRFs work: the kernel makes it
// for the first one and keeps it for good.
func isVRFs(rule netlink.Rule) bool {
	const priority = 1000
	return rule.Priority == priority && rule.Protocol == unix.RTPROT_KERNEL && rule.Src == nil && rule.Dst == nil
}

func ruleLine(rule netlink.Rule) string {
	if isVRFs(rule) {
		return ""
	}
	var l line
	l.add("rule family", rule.Family)
	l.add("priority", fmt.Sprintf("%05d", rule.Priority))
	l.add("not", rule.Invert)
	l.add("from", rule.Src)
	l.add("to", rule.Dst)
	l.add("iif", rule.IifName)
	l.add("oif", rule.OifName)
	l.add("mark", rule.Mark)
	if rule.Mask != nil {
		l.add("mask", *rule.Mask)
	}
	l.add("tos", rule.Tos)
	l.add("ipproto", rule.IPProto)
	if rule.Sport != nil {
		l.add("sport", *rule.Sport)
	}
	if rule.Dport != nil {
		l.add("dport", *rule.Dport)
	}
	if rule.UIDRange != nil {
		l.add("uidrange", *rule.UIDRange)
	}
	l.add("table", rule.Table)
	l.add("goto", rule.Goto)
	l.add("suppress_prefixlength", rule.SuppressPrefixlen)
	l.add("suppress_ifgroup", rule.SuppressIfgroup)
	l.add("proto", rule.Protocol)
	return l.String()
}

// neighLines lists what somebody configured: neighbours that are proxied or
// permanent.
func (k kernelView) neighLines() ([]string, error) {
	var all []string
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		proxies, err := k.handle.NeighProxyList(0, family)
		if err != nil {
			return nil, err
		}
		known, err := k.handle.NeighList(0, family)
		if err != nil {
			return nil, err
		}
		known = slices.DeleteFunc(known, func(n netlink.Neigh) bool { return n.State&netlink.NUD_PERMANENT == 0 })
		all = append(all, lines(append(proxies, known...), k.neighLine)...)
	}
	return all, nil
}

func (k kernelView) neighLine(neigh netlink.Neigh) string {
	var l line
	l.add("neighbour", neigh.IP)
	l.add("dev", k.name(neigh.LinkIndex))
	l.add("mac", neigh.HardwareAddr)
	l.add("proxy", neigh.Flags&netlink.NTF_PROXY)
	return l.String()
}

func (k kernelView) qdiscLines() ([]string, error) {
	qdiscs, err := k.handle.QdiscList(nil)
	return lines(qdiscs, k.qdiscLine), err
}

func (k kernelView) qdiscLine(qdisc netlink.Qdisc) string {
	attrs := qdisc.Attrs()
	var l line
	l.add("qdisc", qdisc.Type())
	l.add("dev", k.name(attrs.LinkIndex))
	l.add("handle", netlink.HandleStr(attrs.Handle))
	l.add("parent", netlink.HandleStr(attrs.Parent))
	if tbf, ok := qdisc.(*netlink.Tbf); ok {
		l.add("rate", tbf.Rate)
		l.add("limit", tbf.Limit)
		l.add("buffer", tbf.Buffer)
	}
	return l.String()
}
