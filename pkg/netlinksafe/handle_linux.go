// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
)

// Handle is a netlink.Handle, open sockets in one namespace, whose lists are
// safe. Its other methods are netlink's.
type Handle struct {
	*netlink.Handle
}

// NewHandle opens a handle in the current namespace for the netlink families,
// or for all supported ones when none is given.
func NewHandle(nlFamilies ...int) (Handle, error) {
	handle, err := netlink.NewHandle(nlFamilies...)
	return Handle{handle}, err
}

// NewHandleAt opens a handle in the namespace ns.
func NewHandleAt(ns netns.NsHandle, nlFamilies ...int) (Handle, error) {
	handle, err := netlink.NewHandleAt(ns, nlFamilies...)
	return Handle{handle}, err
}

// Close closes the sockets. A handle that was never opened may be closed too.
func (h Handle) Close() {
	if h.Handle != nil {
		h.Handle.Close()
	}
}

// AddrList lists the addresses of link, or of all links when it is nil.
func (h Handle) AddrList(link netlink.Link, family int) ([]netlink.Addr, error) {
	return retry("addresses", func() ([]netlink.Addr, error) { return h.Handle.AddrList(link, family) })
}

// BridgeVlanList lists the VLANs of bridges and their ports by link index.
func (h Handle) BridgeVlanList() (map[int32][]*nl.BridgeVlanInfo, error) {
	return retry("bridge vlans", h.Handle.BridgeVlanList)
}

// ClassList lists the traffic classes of link below parent.
func (h Handle) ClassList(link netlink.Link, parent uint32) ([]netlink.Class, error) {
	return retry("classes", func() ([]netlink.Class, error) { return h.Handle.ClassList(link, parent) })
}

// ConntrackDeleteFilters deletes the tracked connections that match one of the
// filters and returns how many there were.
func (h Handle) ConntrackDeleteFilters(table netlink.ConntrackTableType, family netlink.InetFamily, filters ...netlink.CustomConntrackFilter) (uint, error) {
	return retryDelete(func() (uint, error) { return h.Handle.ConntrackDeleteFilters(table, family, filters...) })
}

// ConntrackTableList lists tracked connections.
func (h Handle) ConntrackTableList(table netlink.ConntrackTableType, family netlink.InetFamily) ([]*netlink.ConntrackFlow, error) {
	return retry("connections", func() ([]*netlink.ConntrackFlow, error) { return h.Handle.ConntrackTableList(table, family) })
}

// FilterList lists the traffic filters of link at parent.
func (h Handle) FilterList(link netlink.Link, parent uint32) ([]netlink.Filter, error) {
	return retry("filters", func() ([]netlink.Filter, error) { return h.Handle.FilterList(link, parent) })
}

// LinkByName finds a link by its name or an alternative name; kernels before
// 5.5 have to list all links for it.
func (h Handle) LinkByName(name string) (netlink.Link, error) {
	return retry("links", func() (netlink.Link, error) { return h.Handle.LinkByName(name) })
}

// LinkGetProtinfo returns the settings of link as a port of a bridge.
func (h Handle) LinkGetProtinfo(link netlink.Link) (netlink.Protinfo, error) {
	return retry("bridge ports", func() (netlink.Protinfo, error) { return h.Handle.LinkGetProtinfo(link) })
}

// LinkList lists all links.
func (h Handle) LinkList() ([]netlink.Link, error) {
	return retry("links", h.Handle.LinkList)
}

// NeighList lists the neighbours of a link, or of all links when its index is 0.
func (h Handle) NeighList(linkIndex, family int) ([]netlink.Neigh, error) {
	return retry("neighbours", func() ([]netlink.Neigh, error) { return h.Handle.NeighList(linkIndex, family) })
}

// NeighProxyList lists the neighbours a link, or every link when its index is
// 0, answers for.
func (h Handle) NeighProxyList(linkIndex, family int) ([]netlink.Neigh, error) {
	return retry("proxied neighbours", func() ([]netlink.Neigh, error) { return h.Handle.NeighProxyList(linkIndex, family) })
}

// QdiscList lists the queueing disciplines of link, or of all links when it is
// nil.
func (h Handle) QdiscList(link netlink.Link) ([]netlink.Qdisc, error) {
	return retry("queueing disciplines", func() ([]netlink.Qdisc, error) { return h.Handle.QdiscList(link) })
}

// RouteList lists the routes of the main table over link, or over all links
// when it is nil.
func (h Handle) RouteList(link netlink.Link, family int) ([]netlink.Route, error) {
	return retry("routes", func() ([]netlink.Route, error) { return h.Handle.RouteList(link, family) })
}

// RouteListFiltered lists the routes that agree with filter in what filterMask
// selects.
func (h Handle) RouteListFiltered(family int, filter *netlink.Route, filterMask uint64) ([]netlink.Route, error) {
	return retry("routes", func() ([]netlink.Route, error) { return h.Handle.RouteListFiltered(family, filter, filterMask) })
}

// RuleList lists the routing rules.
func (h Handle) RuleList(family int) ([]netlink.Rule, error) {
	return retry("rules", func() ([]netlink.Rule, error) { return h.Handle.RuleList(family) })
}

// RuleListFiltered lists the routing rules that agree with filter in what
// filterMask selects.
func (h Handle) RuleListFiltered(family int, filter *netlink.Rule, filterMask uint64) ([]netlink.Rule, error) {
	return retry("rules", func() ([]netlink.Rule, error) { return h.Handle.RuleListFiltered(family, filter, filterMask) })
}
