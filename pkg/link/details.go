// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"encoding/binary"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/nlattr"
)

// Details has what the kernel says about a link and the netlink library does not
// read: the attributes of its message.
type Details nlattr.Attributes

// Numbers of the kernel.
const (
	acceptRA             = 3 // DEVCONF_ACCEPT_RA in linux/ipv6.h
	noLinkLocalLearning  = 1 // BR_BOOLOPT_NO_LL_LEARN in linux/if_bridge.h, as a bit
	sizeofBooleanOptions = 8 // struct br_boolopt_multi: the values, and which of them there are
	maskInBooleanOptions = 4
	sizeofIPv6Parameter  = 4
)

// AcceptRA returns accept_ra: 0 for no router advertisements, 1 for those that come
// while the link does not forward, 2 for all. Without IPv6 it is 0. It is a parameter
// of /proc/sys/net/ipv6/conf/<link>, where each open takes longer the more network
// namespaces there are.
func (d Details) AcceptRA() int {
	parameters := nlattr.Attributes(d).Get(unix.IFLA_AF_SPEC, unix.AF_INET6, unix.IFLA_INET6_CONF)
	if len(parameters) < (acceptRA+1)*sizeofIPv6Parameter {
		return 0
	}
	return int(int32(binary.NativeEndian.Uint32(parameters[acceptRA*sizeofIPv6Parameter:])))
}

// LearnsLinkLocal tells whether a bridge learns the source of frames to link-local
// multicast addresses and can be told not to (Linux 4.20).
func (d Details) LearnsLinkLocal() bool {
	options := nlattr.Attributes(d).Get(unix.IFLA_LINKINFO, nl.IFLA_INFO_DATA, unix.IFLA_BR_MULTI_BOOLOPT)
	if len(options) < sizeofBooleanOptions {
		return false
	}
	values, known := binary.NativeEndian.Uint32(options), binary.NativeEndian.Uint32(options[maskInBooleanOptions:])
	return known&^values&noLinkLocalLearning != 0
}
