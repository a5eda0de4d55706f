// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// IPv6 has a link's parameters of IPv6, by the kernel's numbers for them (DEVCONF_
// in linux/ipv6.h): those of /proc/sys/net/ipv6/conf/<link>, where each open takes
// longer the more network namespaces there are. Without IPv6 it is empty.
type IPv6 []byte

// acceptRA is DEVCONF_ACCEPT_RA.
const acceptRA = 3

// AcceptRA returns accept_ra: 0 for no router advertisements, 1 for those that come
// while the link does not forward, 2 for all. Without IPv6 it is 0.
func (p IPv6) AcceptRA() int {
	const size = 4
	if len(p) < (acceptRA+1)*size {
		return 0
	}
	return int(int32(binary.NativeEndian.Uint32(p[acceptRA*size:])))
}

// ipv6In returns what a link message says about IPv6.
func ipv6In(message []byte) IPv6 {
	return attribute(message, unix.IFLA_AF_SPEC, unix.AF_INET6, unix.IFLA_INET6_CONF)
}
