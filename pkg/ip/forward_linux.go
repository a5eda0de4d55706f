// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"fmt"

	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// EnableIP4Forward has the kernel forward IPv4 packets.
func EnableIP4Forward() error { return switchOn(netlink.FAMILY_V4, "net/ipv4/ip_forward") }

// EnableIP6Forward has the kernel forward IPv6 packets.
func EnableIP6Forward() error { return switchOn(netlink.FAMILY_V6, "net/ipv6/conf/all/forwarding") }

// EnableForward has the kernel forward packets of the families of ips.
func EnableForward(ips []*current.IPConfig) error {
	v4, v6 := families(ips)
	if v4 {
		if err := EnableIP4Forward(); err != nil {
			return err
		}
	}
	if v6 {
		return EnableIP6Forward()
	}
	return nil
}

func families(ips []*current.IPConfig) (v4, v6 bool) {
	for _, ip := range ips {
		switch {
		case ip == nil:
		case ip.Address.IP.To4() != nil:
			v4 = true
		default:
			v6 = true
		}
	}
	return v4, v6
}

// switchOn writes only where it makes a difference: /proc/sys may be read-only.
func switchOn(family int, key string) error {
	if on, err := netlinksafe.Forwards(family); err == nil && on {
		return nil
	}
	if err := sysctl.Set(key, "1"); err != nil {
		return fmt.Errorf("enable forwarding: %w", err)
	}
	return nil
}
