// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"net"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/utils/forwarding"
)

// EnableIP4Forward has the kernel forward IPv4 packets.
func EnableIP4Forward() error { return forwarding.EnableIPv4() }

// EnableIP6Forward has the kernel forward IPv6 packets.
func EnableIP6Forward() error { return forwarding.EnableIPv6() }

// EnableForward has the kernel forward packets of the families of ips.
func EnableForward(ips []*current.IPConfig) error {
	var addresses []*net.IPNet
	for _, ip := range ips {
		if ip != nil {
			addresses = append(addresses, &ip.Address)
		}
	}
	return forwarding.EnableFor(addresses)
}
