// SPDX-License-Identifier: Apache-2.0

//go:build linux

package masquerade

import (
	"net"
	"net/netip"
	"slices"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/conntrack"
)

// forgetUntranslated makes the kernel forget connections that were opened while the
// rules of attachments were missing, so that their next packet is masqueraded: a UDP
// flow that goes on would otherwise never be. That may fail where nothing tracks
// connections, is no reason to fail, and said in the name of a program.
func forgetUntranslated(name string, restored []intended) {
	var filters []conntrack.Filter
	for _, was := range restored {
		addresses := was.addresses()
		for _, address := range addresses {
			filters = append(filters, conntrack.Filter{
				Family: conntrack.FamilyOf(address.IP), SrcIP: address.IP, Untranslated: true,
				Matches: func(dst, _ net.IP) bool { return leavesHost(dst, addresses) },
			})
		}
	}
	if _, err := conntrack.Delete(filters...); err != nil {
		plugin.Logf(name, "connections may go on without masquerading: %v", err)
	}
}

// leavesHost tells whether what an attachment with these addresses sends to dst is
// masqueraded: it is for neither one of its subnets nor a group, nor the host itself.
func leavesHost(dst net.IP, addresses []*net.IPNet) bool {
	addr, ok := netip.AddrFromSlice(dst)
	return ok && !dst.IsMulticast() && !slices.ContainsFunc(addresses, func(of *net.IPNet) bool { return of.Contains(dst) }) &&
		!netlinksafe.IsLocal(addr)
}
