// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/forwarding"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// ensureBridge returns the bridge, created or brought in line with the
// configuration, and up.
func ensureBridge(req *plugin.Request, c *Config) (*netlink.Bridge, error) {
	found, details, err := link.FindWithDetails(c.Bridge)
	if errors.Is(err, link.ErrNotFound) {
		found, details, err = createBridge(req, c)
	}
	if err != nil {
		return nil, err
	}
	if err := mustBeBridge(found); err != nil {
		return nil, err
	}
	bridge := found.(*netlink.Bridge)
	refuseAdvertisements(bridge, details)
	if err := reconcile(c, bridge, details); err != nil {
		return nil, fmt.Errorf("bridge %s: %w", c.Bridge, err)
	}
	return bridge, nil
}

// createBridge creates the bridge. Somebody else may do so at the same time:
// "exists" is fine. The MAC address is given rather than left to the kernel,
// which would let it follow the lowest one of the ports, and to udev, which
// replaces random ones a little later. An MTU that is given at creation follows
// those of the ports: it is the smallest (br_mtu_auto_adjust).
func createBridge(req *plugin.Request, c *Config) (netlink.Link, link.Details, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = c.Bridge
	attrs.HardwareAddr = link.RandomMAC()
	attrs.MTU = c.MTU.Bytes
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if c.filtersVLANs() {
		// Only then: kernels without VLAN filtering refuse even a zero.
		bridge.VlanFiltering = ptr(true)
	}
	err := netlink.LinkAdd(bridge)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, nil, fmt.Errorf("create bridge %s: %w", c.Bridge, err)
	}
	silenceIPv6(c, c.Bridge)
	found, details, findErr := link.FindWithDetails(c.Bridge)
	if err == nil && findErr == nil {
		req.Undo.Push("bridge", func() error { return removeUnused(found) })
	}
	return found, details, findErr
}

// removeUnused removes a bridge that an ADD which has failed has made, unless
// somebody else uses it by now. Who is about to makes it again, see attachPort.
func removeUnused(bridge netlink.Link) error {
	links, err := netlinksafe.LinkList()
	if err != nil {
		return fmt.Errorf("list the links: %w", err)
	}
	index := bridge.Attrs().Index
	uses := func(l netlink.Link) bool {
		attrs := l.Attrs()
		return attrs.MasterIndex == index || attrs.ParentIndex == index && attrs.NetNsID < 0
	}
	if slices.ContainsFunc(links, uses) {
		return nil
	}
	return link.DeleteByIndex(index)
}

// silenceIPv6 configures a device that the plugin has made. It takes no router
// advertisements, see refuseAdvertisements. And until it knows that its link-local
// address has no duplicate it solicits no neighbours, that is, forwards nothing.
// The kernel may have been built without IPv6, and /proc/sys may be read-only.
func silenceIPv6(c *Config, device string) {
	_ = sysctl.Set(acceptRA(device), "0")
	if !c.EnableDAD {
		_ = sysctl.Set(acceptDAD(device), "0")
	}
}

// detectDuplicates has the kernel detect duplicates of the addresses that a device
// gets, which may have been silenced for another network. A 2 does that as well, and
// more. The kernel may have been built without IPv6, and /proc/sys may be read-only.
func detectDuplicates(device netlink.Link) {
	key := acceptDAD(device.Attrs().Name)
	if value, err := sysctl.Sysctl(key); err == nil && value == "0" {
		_ = sysctl.Write(key, "1")
	}
}

func acceptDAD(device string) string { return "net/ipv6/conf/" + device + "/accept_dad" }

// refuseAdvertisements keeps router advertisements, which any container can send,
// from giving the host addresses and a default route through that container. It is
// for a device that was there before: where somebody has set 2, with which they
// count on a router, too, the host gets its own from them.
func refuseAdvertisements(device netlink.Link, details link.Details) {
	if details.AcceptRA() == 1 {
		_ = sysctl.Write(acceptRA(device.Attrs().Name), "0")
	}
}

func acceptRA(device string) string { return "net/ipv6/conf/" + device + "/accept_ra" }

// reconcile changes what differs from the configuration on a bridge that was
// there before, or says why it cannot.
func reconcile(c *Config, bridge *netlink.Bridge, details link.Details) error {
	if c.filtersVLANs() && !isTrue(bridge.VlanFiltering) {
		// The ports keep their untagged traffic: each is a member of VLAN 1.
		if err := link.SetVLANFiltering(bridge.Index, true); err != nil {
			return fmt.Errorf("switch VLAN filtering on: %w", err)
		}
	}
	if c.MACSpoofCheck && details.LearnsLinkLocal() {
		// No hook sees these frames, so that no rule keeps a forged address from being learned.
		if err := link.StopLinkLocalLearning(bridge.Index); err != nil {
			return fmt.Errorf("learn nothing from link-local frames: %w", err)
		}
	}
	if c.PromiscMode && !isPromiscuous(bridge) {
		if err := netlink.SetPromiscOn(bridge); err != nil {
			return fmt.Errorf("switch promiscuous mode on: %w", err)
		}
	}
	if bridge.Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(bridge); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
	}
	return nil
}

// isPromiscuous tells whether the bridge was switched to promiscuous mode. The
// kernel's count of reasons (Promisc) has the captures of the moment, too.
func isPromiscuous(bridge *netlink.Bridge) bool { return bridge.RawFlags&unix.IFF_PROMISC != 0 }

// hostGateway is what the containers' gateway is on the host.
type hostGateway struct {
	device    netlink.Link // nil if the bridge is no gateway
	unsettled []*net.IPNet // its addresses that somebody else may turn out to have
}

// ensureGateways gives the bridge, or the VLAN's gateway device, its addresses
// and routes, and switches forwarding on.
func ensureGateways(c *Config, bridge *netlink.Bridge, plan gatewayPlan) (hostGateway, error) {
	if len(plan.addresses) == 0 {
		return hostGateway{}, nil
	}
	var device netlink.Link = bridge
	if c.VLAN != 0 {
		var err error
		if device, err = ensureVLANGateway(c, bridge); err != nil {
			return hostGateway{}, err
		}
	}
	unsettled, err := ensureAddresses(c, device, plan.addresses)
	if err != nil {
		return hostGateway{}, err
	}
	if err := ensureSubnets(device, plan.subnets); err != nil {
		return hostGateway{}, err
	}
	return hostGateway{device, unsettled}, forwarding.EnableFor(plan.addresses)
}

// ensureAddresses makes sure that device has the addresses in wanted. One that
// conflicts with them is removed if the configuration says so, and otherwise an
// error before anything is changed. It returns those that somebody else may turn
// out to have; see sortAddresses for one of which that is known.
func ensureAddresses(c *Config, device netlink.Link, wanted []*net.IPNet) (unsettled []*net.IPNet, err error) {
	name := device.Attrs().Name
	addresses, err := netlinksafe.AddrList(device, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("%s: list the addresses: %w", name, err)
	}
	there := sortAddresses(addresses, wanted)
	inTheWay, by := obstacles(there.have, wanted)
	if len(inTheWay) > 0 && !c.ForceAddress {
		return nil, fmt.Errorf("%s has the address %s, which conflicts with the gateway address %s; "+
			"correct the gateway or subnet, or set forceAddress to have it replaced", name, inTheWay[0], by)
	}
	for _, address := range addresses {
		if !slices.Contains(inTheWay, address.IPNet) && !slices.Contains(there.failed, address.IPNet) {
			continue
		}
		// Alone: others of its subnet would go along with it.
		if err := link.RemoveAddressAlone(device, address); err != nil {
			return nil, err
		}
	}
	return there.unsettled, addAddresses(c, device, there.missing)
}

// ensureSubnets gives the host the way to containers whose gateway is a link-local
// address, which the kernel makes no route to their subnet for. It stays, like the
// address.
func ensureSubnets(device netlink.Link, subnets []*net.IPNet) error {
	var routes []link.Change
	for _, dst := range subnets {
		route := netlink.Route{Dst: dst, LinkIndex: device.Attrs().Index, Scope: netlink.SCOPE_LINK}
		routes = append(routes, link.EnsureRoute(route, fmt.Sprintf("%s through %s", dst, device.Attrs().Name)))
	}
	return link.Apply(routes...)
}

// addAddresses adds gateway addresses, at the same time as another ADD perhaps.
// The gateway has to answer from the first packet on, so that duplicate address
// detection is left out unless it is asked for.
func addAddresses(c *Config, device netlink.Link, missing []*net.IPNet) error {
	if len(missing) == 0 {
		return nil
	}
	if err := pinMAC(device); err != nil {
		return err
	}
	if c.EnableDAD && slices.ContainsFunc(missing, func(address *net.IPNet) bool { return !isIPv4(address.IP) }) {
		detectDuplicates(device)
	}
	for _, address := range missing {
		if err := link.AddAddress(device, address, !c.EnableDAD); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}

// waitDAD waits until the gateway's addresses are known to be nobody else's.
func (g hostGateway) waitDAD(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, link.DADTimeout)
	defer cancel()
	err := link.WaitDAD(ctx, g.device.Attrs().Index)
	if len(g.unsettled) == 0 {
		return err
	}
	return g.removeFailed(err)
}

// removeFailed removes the addresses that somebody else turned out to have, which are
// of no use, and returns err, what the wait for them came to. Several ADDs may wait for
// the same ones: what the first has removed, the others miss.
func (g hostGateway) removeFailed(err error) error {
	addresses, listErr := link.Addresses(g.device, netlink.FAMILY_V6)
	if listErr != nil {
		return errors.Join(err, listErr)
	}
	there := sortAddresses(addresses, g.unsettled)
	if err == nil && len(there.missing) > 0 {
		err = fmt.Errorf("%s is in use by somebody else: another ADD has taken it off %s again", there.missing[0].IP, g.device.Attrs().Name)
	}
	failed := slices.DeleteFunc(addresses, func(address netlink.Addr) bool { return !slices.Contains(there.failed, address.IPNet) })
	return errors.Join(err, link.RemoveAddresses(g.device, failed))
}

// pinMAC writes back the MAC address that the device had before this attachment,
// which makes it one that was set by hand: it then stays as ports come and go, and
// so do neighbours' caches. A bridge of somebody else's may have had none without
// ports.
func pinMAC(device netlink.Link) error {
	mac := device.Attrs().HardwareAddr
	if len(mac) == 0 {
		mac = link.RandomMAC()
	}
	if err := netlink.LinkSetHardwareAddr(device, mac); err != nil {
		return fmt.Errorf("%s: keep the MAC address %s: %w", device.Attrs().Name, mac, err)
	}
	return nil
}

// ensureVLANGateway returns the device that holds the gateway addresses of a
// VLAN, called <bridge>.<vid>: one end of a veth pair whose other end is an
// untagged port of that VLAN, or, if somebody has made that, the VLAN's device of the
// bridge itself. It is shared, and completed if whoever made it did not come to an end.
func ensureVLANGateway(c *Config, bridge *netlink.Bridge) (netlink.Link, error) {
	name := c.vlanGateway()
	device, details, err := link.FindWithDetails(name)
	if errors.Is(err, link.ErrNotFound) {
		device, details, err = createVLANGateway(c, name, bridge)
	}
	if err != nil {
		return nil, err
	}
	refuseAdvertisements(device, details)
	switch {
	case isVLANOf(bridge, device, c.VLAN):
		err = joinVLAN(c, bridge, device)
	case device.Type() == "veth":
		err = attachVLANGateway(c, bridge, device)
	default:
		err = fmt.Errorf("it exists and is neither a veth nor VLAN %d of %s but of type %s; it should be the gateway device of that VLAN",
			c.VLAN, c.Bridge, device.Type())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return device, nil
}

// isVLANOf tells whether a device is the bridge's own in the VLAN with an id.
func isVLANOf(bridge *netlink.Bridge, device netlink.Link, id int) bool {
	vlan, ok := device.(*netlink.Vlan)
	return ok && vlan.ParentIndex == bridge.Index && vlan.VlanId == id
}

// joinVLAN has the bridge itself receive what is for its own device in the VLAN.
func joinVLAN(c *Config, bridge *netlink.Bridge, device netlink.Link) error {
	vlan, err := membership(bridge, c.VLAN)
	if err != nil {
		return err
	}
	if vlan == nil {
		if err := netlink.BridgeVlanAdd(bridge, uint16(c.VLAN), false, false, true, false); err != nil {
			return fmt.Errorf("add %s itself to VLAN %d: %w", c.Bridge, c.VLAN, err)
		}
	}
	return fitGatewayEnd(bridge, device)
}

func createVLANGateway(c *Config, name string, bridge *netlink.Bridge) (netlink.Link, link.Details, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.MTU = bridge.MTU
	attrs.HardwareAddr = link.RandomMAC()
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: link.RandomVethName(), PeerMTU: uint32(bridge.MTU), PeerHardwareAddr: link.RandomMAC()}
	if err := netlink.LinkAdd(pair); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, nil, fmt.Errorf("create the VLAN gateway device %s: %w", name, err)
	}
	silenceIPv6(c, name)
	return link.FindWithDetails(name)
}

func attachVLANGateway(c *Config, bridge *netlink.Bridge, device netlink.Link) error {
	port, err := otherEnd(device)
	if err != nil {
		return err
	}
	if port.Attrs().MasterIndex != bridge.Index {
		if err := link.Join(port.Attrs().Index, link.Port{Bridge: bridge.Index}); err != nil {
			return fmt.Errorf("attach to %s: %w", c.Bridge, err)
		}
	}
	if err := setPortVLANs(port, vlanPlan{pvid: c.VLAN}); err != nil {
		return err
	}
	for _, end := range []netlink.Link{port, device} {
		if err := fitGatewayEnd(bridge, end); err != nil {
			return err
		}
	}
	return nil
}

// otherEnd returns the other end of a veth pair that is on the host, as one that the
// plugin has made is; elsewhere, its index would be that of any link here.
func otherEnd(device netlink.Link) (netlink.Link, error) {
	if device.Attrs().NetNsID >= 0 {
		return nil, errors.New("its other end is in another network namespace; remove it, it should be a pair on the host")
	}
	port, err := link.FindByIndex(device.Attrs().ParentIndex)
	if err != nil {
		return nil, fmt.Errorf("find its other end: %w", err)
	}
	return port, nil
}

// fitGatewayEnd sets one end of a VLAN gateway device up, with no larger MTU than
// the containers' ports have; end, which is described in the result, has that then.
func fitGatewayEnd(bridge *netlink.Bridge, end netlink.Link) error {
	if end.Attrs().MTU > bridge.MTU {
		if err := netlink.LinkSetMTU(end, bridge.MTU); err != nil {
			return fmt.Errorf("lower the MTU of %s to %d, that of %s: %w", end.Attrs().Name, bridge.MTU, bridge.Name, err)
		}
		end.Attrs().MTU = bridge.MTU
	}
	if end.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := netlink.LinkSetUp(end); err != nil {
		return fmt.Errorf("set %s up: %w", end.Attrs().Name, err)
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }

func ptr[T any](value T) *T { return &value }

// bridgeStatus tells whether there could be no bridge, or a device of another
// type holds its name.
func bridgeStatus(c *Config) error {
	found, err := link.Find(c.Bridge)
	if errors.Is(err, link.ErrNotFound) {
		return link.Supported("bridge") // for ADD, which will create it
	}
	if err != nil {
		return err
	}
	return mustBeBridge(found)
}

func mustBeBridge(found netlink.Link) error {
	if found.Type() == "bridge" {
		return nil
	}
	return fmt.Errorf("%s exists and is no bridge but of type %s; name another one or remove it", found.Attrs().Name, found.Type())
}
