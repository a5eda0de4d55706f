// SPDX-License-Identifier: Apache-2.0

package netlinksafe

import (
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

// perCall is a handle that opens a socket for each call, in the namespace the
// calling thread is in at that time.
func perCall() Handle { return Handle{&netlink.Handle{}} }

// BridgeVlanList is Handle.BridgeVlanList in the current namespace.
func BridgeVlanList() (map[int32][]*nl.BridgeVlanInfo, error) {
	return perCall().BridgeVlanList()
}

// ClassList is Handle.ClassList in the current namespace.
func ClassList(link netlink.Link, parent uint32) ([]netlink.Class, error) {
	return perCall().ClassList(link, parent)
}

// ConntrackDeleteFilters is Handle.ConntrackDeleteFilters in the current namespace.
func ConntrackDeleteFilters(table netlink.ConntrackTableType, family netlink.InetFamily, filters ...netlink.CustomConntrackFilter) (uint, error) {
	return perCall().ConntrackDeleteFilters(table, family, filters...)
}

// FilterList is Handle.FilterList in the current namespace.
func FilterList(link netlink.Link, parent uint32) ([]netlink.Filter, error) {
	return perCall().FilterList(link, parent)
}

// LinkByName is Handle.LinkByName in the current namespace.
func LinkByName(name string) (netlink.Link, error) {
	return perCall().LinkByName(name)
}

// LinkGetProtinfo is Handle.LinkGetProtinfo in the current namespace.
func LinkGetProtinfo(link netlink.Link) (netlink.Protinfo, error) {
	return perCall().LinkGetProtinfo(link)
}

// QdiscList is Handle.QdiscList in the current namespace.
func QdiscList(link netlink.Link) ([]netlink.Qdisc, error) {
	return perCall().QdiscList(link)
}

// RouteList is Handle.RouteList in the current namespace.
func RouteList(link netlink.Link, family int) ([]netlink.Route, error) {
	return perCall().RouteList(link, family)
}

// RouteListFiltered is Handle.RouteListFiltered in the current namespace.
func RouteListFiltered(family int, filter *netlink.Route, filterMask uint64) ([]netlink.Route, error) {
	return perCall().RouteListFiltered(family, filter, filterMask)
}

// RuleList is Handle.RuleList in the current namespace.
func RuleList(family int) ([]netlink.Rule, error) {
	return perCall().RuleList(family)
}

// RuleListFiltered is Handle.RuleListFiltered in the current namespace.
func RuleListFiltered(family int, filter *netlink.Rule, filterMask uint64) ([]netlink.Rule, error) {
	return perCall().RuleListFiltered(family, filter, filterMask)
}
