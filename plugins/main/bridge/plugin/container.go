// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"context"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// Places of the interfaces in a result. Plugins later in the chain count on
// them.
const (
	bridgeIndex = iota
	hostIndex
	containerIndex
)

// configureContainer gives the container's interface its addresses and routes
// and sets it up. At layer 2 it only sets it up, or leaves it down if so
// configured.
func configureContainer(ctx context.Context, req *plugin.Request, c *Config, pair *vethpair.Pair, result *current.Result) error {
	return req.InNetns(func() error {
		if c.layer3() {
			dad := c.EnableDAD || c.Probe
			setSysctls(req.IfName, dad, result.IPs)
			options := ipam.Options{Link: pair.Container, NoDAD: !dad, Probe: c.Probe}
			return ipam.ConfigureIfaceWithOptions(ctx, req.IfName, result, options)
		}
		if c.DisableContainerInterface {
			return nil
		}
		if err := netlink.LinkSetUp(pair.Container); err != nil {
			return fmt.Errorf("set %s up: %w", req.IfName, err)
		}
		return nil
	})
}

// setSysctls configures duplicate address detection, which is off unless asked
// for, since IPAM hands an address out once; and has the kernel announce IPv6
// addresses. All of it is best effort: the kernel may have no IPv6, and /proc/sys
// may be read-only.
func setSysctls(ifName string, dad bool, ips []*current.IPConfig) {
	ipv6 := "net/ipv6/conf/" + ifName
	if dad {
		_ = sysctl.Write(ipv6+"/enhanced_dad", "1")
		_ = sysctl.Write(ipv6+"/accept_dad", "1")
	} else {
		_ = sysctl.Write(ipv6+"/accept_dad", "0")
	}
	if slices.ContainsFunc(ips, func(ip *current.IPConfig) bool { return !isIPv4(ip.Address.IP) }) {
		_ = sysctl.Write(ipv6+"/ndisc_notify", "1")
	}
}

// waitForPort waits until the bridge forwards what the container sends. The
// kernel takes a millisecond or two, and is mostly done by now. Where duplicates are
// to be detected, it waits for the gateway, too, which answers only after that.
func waitForPort(ctx context.Context, c *Config, pair *vethpair.Pair, gateway hostGateway) error {
	if c.DisableContainerInterface {
		return nil
	}
	if err := link.WaitUp(ctx, pair.Host.Attrs().Index); err != nil {
		return fmt.Errorf("wait for the port %s: %w", pair.Host.Attrs().Name, err)
	}
	if !c.EnableDAD || gateway.device == nil {
		return nil
	}
	return gateway.waitDAD(ctx)
}

// announce has the kernel tell everybody on the bridge whose the container's
// addresses are now: they may know another interface by them. When the interface
// came up was too early, since a port forwards only after it has a carrier.
func announce(req *plugin.Request, c *Config, pair *vethpair.Pair) error {
	if !c.layer3() {
		return nil
	}
	return req.InNetns(func() error {
		return link.Apply(link.Announce(pair.Container), link.AnnounceNow(pair.Container))
	})
}

// nameInterfaces puts the interfaces into the result. All addresses are the
// container's.
func nameInterfaces(req *plugin.Request, bridge *netlink.Bridge, pair *vethpair.Pair, result *current.Result) error {
	container, err := containerlink.Describe(req, pair.Container)
	if err != nil {
		return err
	}
	result.Interfaces = make([]*current.Interface, containerIndex+1)
	result.Interfaces[bridgeIndex] = link.Describe(bridge, "")
	result.Interfaces[hostIndex] = link.Describe(pair.Host, "")
	result.Interfaces[containerIndex] = container
	for _, ip := range result.IPs {
		ip.Interface = current.Int(containerIndex)
	}
	return nil
}

// complete brings the result up to date: a bridge whose MAC address or MTU
// nobody has set takes them from its ports.
func complete(c *Config, gateway hostGateway, result *current.Result) error {
	bridge, err := link.DescribeNow(c.Bridge, "")
	if err != nil {
		return err
	}
	result.Interfaces[bridgeIndex] = bridge
	if c.VLAN != 0 && gateway.device != nil {
		result.Interfaces = append(result.Interfaces, link.Describe(gateway.device, ""))
	}
	if c.HasDNS() {
		result.DNS = c.DNS
	}
	return nil
}
