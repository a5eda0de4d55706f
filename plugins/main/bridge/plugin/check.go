// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// checkAttachment compares the bridge, its port, the container's interface and
// the rules with what ADD reported and the configuration says.
func checkAttachment(ctx context.Context, req *plugin.Request, c *Config) error {
	var report check.Report
	report.Fail("ipam", req.IPAM.Check(ctx))
	bridge := checkBridge(&report, c)
	if bridge != nil {
		checkReported(&report, req, c, bridge)
	}
	pair := vethpair.Check(&report, req, !c.DisableContainerInterface)
	if bridge != nil && pair.Host != nil {
		checkPort(&report, c, bridge, pair.Host)
	}
	if bridge != nil {
		checkGateways(&report, req, c, bridge)
	}
	if pair.Container != nil && pair.Host != nil {
		checkGuard(ctx, &report, req, c, pair)
	}
	if c.layer3() {
		c.CheckMasquerade(ctx, &report, req, containerlink.OwnIPs(req))
	}
	return report.Err()
}

// checkBridge looks at the bridge. Its MAC address may follow those of the ports,
// if ADD found a gateway address on a bridge of somebody else's, and its MTU is the
// smallest of all networks on it. Whether it is promiscuous matters only if it
// should be: another network may want it.
func checkBridge(report *check.Report, c *Config) *netlink.Bridge {
	bridge, ok := report.Link(&current.Interface{Name: c.Bridge}, "bridge").(*netlink.Bridge)
	if !ok {
		return nil
	}
	report.Up(bridge)
	if c.MTU.Bytes != 0 && bridge.MTU > c.MTU.Bytes {
		report.Addf("%s: mtu is %d, expected at most %d: what the container cannot take is lost", c.Bridge, bridge.MTU, c.MTU.Bytes)
	}
	if c.PromiscMode {
		report.Equal(c.Bridge, "promiscuous mode", true, isPromiscuous(bridge))
	}
	if c.filtersVLANs() {
		report.Equal(c.Bridge, "VLAN filtering", true, isTrue(bridge.VlanFiltering))
	}
	return bridge
}

// checkReported compares the bridge with its entry in prevResult, where it had to
// stay what it was. Containers know the MAC address of their gateway, but one that is
// a port's follows the ports. An MTU that is a port's is as small as it has to be; a
// larger one than ADD found is that of a bridge whose smallest port has left.
func checkReported(report *check.Report, req *plugin.Request, c *Config, bridge *netlink.Bridge) {
	want := reportedBridge(req.Prev, c.Bridge)
	if want == nil {
		report.Addf("prevResult does not name the bridge %s", c.Bridge)
		return
	}
	otherMAC := want.Mac != "" && conf.CanonicalMAC(want.Mac) != bridge.HardwareAddr.String() && isGatewayOf(req, c)
	if !otherMAC && bridge.MTU >= want.Mtu {
		return
	}
	ports, err := portsOf(bridge)
	if err != nil {
		report.Fail(c.Bridge, err)
		return
	}
	if len(ports) == 0 {
		return // which is said of the container's
	}
	if otherMAC && !slices.ContainsFunc(ports, func(port netlink.Link) bool { return bytes.Equal(port.Attrs().HardwareAddr, bridge.HardwareAddr) }) {
		report.Equal(c.Bridge, "mac", conf.CanonicalMAC(want.Mac), bridge.HardwareAddr.String())
	}
	if bridge.MTU < want.Mtu && !slices.ContainsFunc(ports, func(port netlink.Link) bool { return port.Attrs().MTU <= bridge.MTU }) {
		report.Equal(c.Bridge, "mtu", want.Mtu, bridge.MTU)
	}
}

func reportedBridge(prev *current.Result, name string) *current.Interface {
	for _, iface := range prev.Interfaces {
		if iface.Name == name && iface.Sandbox == "" {
			return iface
		}
	}
	return nil
}

// isGatewayOf tells whether the bridge itself is the container's gateway.
func isGatewayOf(req *plugin.Request, c *Config) bool {
	return c.IsGateway && c.VLAN == 0 && len(gatewaysOf(containerlink.OwnIPs(req)).addresses) > 0
}

func portsOf(bridge *netlink.Bridge) ([]netlink.Link, error) {
	all, err := netlinksafe.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the ports: %w", err)
	}
	return slices.DeleteFunc(all, func(l netlink.Link) bool { return l.Attrs().MasterIndex != bridge.Index }), nil
}

func checkPort(report *check.Report, c *Config, bridge *netlink.Bridge, host netlink.Link) {
	name := host.Attrs().Name
	if host.Attrs().MasterIndex != bridge.Index {
		report.Addf("%s: the interface is no port of %s", name, c.Bridge)
		return
	}
	port, err := link.PortOf(host.Attrs().Index)
	if err != nil {
		report.Fail(name, err)
		return
	}
	report.Equal(name, "hairpin mode", c.HairpinMode, port.Hairpin)
	report.Equal(name, "isolation", c.PortIsolation, port.Isolated)
	if plan, any := planVLANs(c); any {
		checkVLANs(report, bridge, host, plan)
	}
	if c.MACSpoofCheck && !isUpstreams(host) {
		checkLearning(report, c)
	}
}

// isUpstreams tells whether upstream's plugin made a host end: it sets no alias.
func isUpstreams(host netlink.Link) bool { return host.Attrs().Alias == "" }

// checkLearning notes a bridge that learns forged MAC addresses past the guard.
func checkLearning(report *check.Report, c *Config) {
	_, details, err := link.FindWithDetails(c.Bridge)
	report.Fail(c.Bridge, err)
	if details.LearnsLinkLocal() {
		report.Addf("%s: no_linklocal_learn is 0, expected 1: a container can take the traffic of another with a link-local frame", c.Bridge)
	}
}

// checkVLANs notes every planned VLAN that the port is no member of, or not in
// the planned way, and, unless they are preserved, every other one. Upstream's
// plugin left ports in the default VLAN until version 1.7.
func checkVLANs(report *check.Report, bridge *netlink.Bridge, port netlink.Link, plan vlanPlan) {
	name := port.Attrs().Name
	have, err := portVLANs(port)
	if err != nil {
		report.Fail(name, err)
		return
	}
	members := map[int]*nl.BridgeVlanInfo{}
	for _, vlan := range have {
		members[int(vlan.Vid)] = vlan
		if !plan.preserve && !plan.wants(vlan) && !(isUpstreams(port) && isDefault(bridge, vlan)) {
			report.Addf("%s: the port is a member of VLAN %d in another way than configured", name, vlan.Vid)
		}
	}
	for _, id := range append([]int{plan.pvid}, plan.tagged...) {
		if members[id] == nil {
			report.Addf("%s: the port is no member of VLAN %d", name, id)
		}
	}
}

// isDefault tells whether a port is a member of a VLAN as it was of the bridge's
// default one when it got another for its own untagged traffic.
func isDefault(bridge *netlink.Bridge, vlan *nl.BridgeVlanInfo) bool {
	id := bridge.VlanDefaultPVID
	return id != nil && vlan.Vid == *id && vlan.EngressUntag() && !vlan.PortVID()
}

// checkGateways looks for the gateway addresses and whether the host forwards.
func checkGateways(report *check.Report, req *plugin.Request, c *Config, bridge *netlink.Bridge) {
	if !c.IsGateway {
		return
	}
	var device netlink.Link = bridge
	if c.VLAN != 0 {
		if device = report.Link(&current.Interface{Name: c.vlanGateway()}, ""); device == nil {
			return
		}
		checkVLANGateway(report, c, bridge, device)
	}
	plan := gatewaysOf(containerlink.OwnIPs(req))
	for _, gateway := range plan.addresses {
		report.Addresses(device, -1, []*current.IPConfig{{Address: *gateway}})
		report.Forwarding(gateway.IP)
	}
	for _, dst := range plan.subnets {
		report.RouteThrough(device, *dst)
	}
}

// checkVLANGateway looks whether what is for the gateway device of a VLAN gets
// there. It is a veth, unless somebody has made the bridge's own device of that VLAN.
func checkVLANGateway(report *check.Report, c *Config, bridge *netlink.Bridge, device netlink.Link) {
	report.Up(device)
	switch {
	case isVLANOf(bridge, device, c.VLAN):
		vlan, err := membership(bridge, c.VLAN)
		report.Fail(c.Bridge, err)
		if err == nil && (vlan == nil || vlan.EngressUntag()) {
			report.Addf("%s: the bridge itself is no tagged member of VLAN %d, as %s needs it", c.Bridge, c.VLAN, device.Attrs().Name)
		}
	case device.Type() == "veth":
		checkGatewayPort(report, c, bridge, device)
	default:
		report.Equal(device.Attrs().Name, "type", "veth", device.Type())
	}
}

// checkGatewayPort looks at the port of the bridge that is the other end of a
// VLAN's gateway device. It may be a member of other VLANs, too, as upstream's is.
func checkGatewayPort(report *check.Report, c *Config, bridge *netlink.Bridge, device netlink.Link) {
	name := device.Attrs().Name
	port, err := otherEnd(device)
	if err != nil {
		report.Fail(name, err)
		return
	}
	report.Up(port)
	if port.Attrs().MasterIndex != bridge.Index {
		report.Addf("%s: %s at its other end is no port of %s", name, port.Attrs().Name, c.Bridge)
		return
	}
	vlan, err := membership(port, c.VLAN)
	report.Fail(name, err)
	if err == nil && (vlan == nil || !vlan.PortVID() || !vlan.EngressUntag()) {
		report.Addf("%s: %s at its other end is no untagged port of VLAN %d", name, port.Attrs().Name, c.VLAN)
	}
}

func checkGuard(ctx context.Context, report *check.Report, req *plugin.Request, c *Config, pair vethpair.Pair) {
	if !c.MACSpoofCheck {
		return
	}
	differences, err := netfilter.CheckMAC(ctx, req.Owner(), pair.Host.Attrs().Name, pair.Container.Attrs().HardwareAddr)
	report.Fail("MAC guard", err)
	for _, difference := range differences {
		report.Addf("MAC guard: %s", difference)
	}
}
