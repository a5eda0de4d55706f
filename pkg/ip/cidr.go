// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"net"
	"net/netip"

	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

// NextIP returns the address after ip; IPv4 addresses have 4 bytes. There is
// none, that is nil, after the last one of a family or for what is no address.
func NextIP(ip net.IP) net.IP { return subnet.Next(ip) }

// PrevIP returns the address before ip; IPv4 addresses have 4 bytes. There is
// none, that is nil, before the first one of a family or for what is no address.
func PrevIP(ip net.IP) net.IP { return normal(ip).Prev().AsSlice() }

// normal returns ip with IPv4 in its short form; what is no address becomes the
// invalid Addr, which has neither neighbours nor bytes.
func normal(ip net.IP) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

// Cmp returns -1, 0 or 1 when a is before, equal to or after b. It returns -2
// when they cannot be compared, being of different families or no addresses.
func Cmp(a, b net.IP) int {
	x, y := normal(a), normal(b)
	if !x.IsValid() || x.BitLen() != y.BitLen() {
		return -2
	}
	return x.Compare(y)
}

// Network returns the network of ipn, that is, a copy without host bits, or nil
// when ipn is not valid.
func Network(ipn *net.IPNet) *net.IPNet { return subnet.Of(ipn) }
