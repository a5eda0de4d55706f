// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
)

// PreviousBridge is the bridge that the containers of a chained suite are
// attached to before the plugin gets them.
const PreviousBridge = "prevbr0"

// OwnNumber in the configuration of a chained suite stands for a number that no
// other container has, above it: a port of the host.
const OwnNumber = 20000

// previous is what the plugins before a chained one have left: a veth pair
// between the container and a bridge of the host, with an address of each
// family.
type previous struct {
	number        int
	hostLink      string
	hostMAC, mac  net.HardwareAddr
	ipv4, ipv6    net.IP
	ifName, netns string
}

var previousMasks = map[bool]net.IPMask{false: net.CIDRMask(16, 32), true: net.CIDRMask(64, 128)}

func newPrevious(n int, ifName, netns string) *previous {
	high, low := byte(n>>8), byte(n)
	return &previous{
		number:   n,
		hostLink: fmt.Sprintf("vethprev%d", n),
		hostMAC:  net.HardwareAddr{2, 0x77, 1, 0, high, low},
		mac:      net.HardwareAddr{2, 0x77, 2, 0, high, low},
		ipv4:     net.IPv4(10, 77, high, low).To4(),
		ipv6:     net.ParseIP(fmt.Sprintf("fd77::1:%x", n)),
		ifName:   ifName,
		netns:    netns,
	}
}

// furnishPrevious makes the bridge.
func furnishPrevious() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = PreviousBridge
	attrs.HardwareAddr = net.HardwareAddr{2, 0x77, 0, 0, 0, 1}
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("make %s: %w", PreviousBridge, err)
	}
	return OnLink(PreviousBridge, func(bridge netlink.Link) error {
		return errors.Join(
			addAddress(bridge, net.IPv4(10, 77, 0, 1).To4()), addAddress(bridge, net.ParseIP("fd77::1")), netlink.LinkSetUp(bridge))
	})
}

// attach makes the pair. It runs in the host's namespace.
func (p *previous) attach(container ns.NetNS) error {
	bridge, err := netlink.LinkByName(PreviousBridge)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MasterIndex = p.hostLink, p.hostMAC, bridge.Attrs().Index
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: p.ifName, PeerHardwareAddr: p.mac, PeerNamespace: netlink.NsFd(container.Fd())}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make %s: %w", p.hostLink, err)
	}
	if err := OnLink(p.hostLink, netlink.LinkSetUp); err != nil {
		return err
	}
	return container.Do(func(ns.NetNS) error { return OnLink(p.ifName, p.configure) })
}

func (p *previous) configure(eth netlink.Link) error {
	if err := errors.Join(addAddress(eth, p.ipv4), addAddress(eth, p.ipv6), netlink.LinkSetUp(eth)); err != nil {
		return err
	}
	return errors.Join(
		netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: net.IPv4(10, 77, 0, 1)}),
		netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: net.ParseIP("fd77::1")}))
}

func addAddress(l netlink.Link, address net.IP) error {
	return netlink.AddrAdd(l, &netlink.Addr{
		IPNet: &net.IPNet{IP: address, Mask: previousMasks[address.To4() == nil]},
		Flags: unix.IFA_F_NODAD,
	})
}

// remove takes the pair away, unless it went with the container's namespace. It
// runs in the host's namespace.
func (p *previous) remove() error { return link.Delete(p.hostLink) }

// result is what the plugins before have answered, in a version.
func (p *previous) result(version string) (Object, error) {
	address := func(ip net.IP) net.IPNet { return net.IPNet{IP: ip, Mask: previousMasks[ip.To4() == nil]} }
	result := &current.Result{
		CNIVersion: current.ImplementedSpecVersion,
		Interfaces: []*current.Interface{
			{Name: PreviousBridge, Mac: "02:77:00:00:00:01", Mtu: 1500},
			{Name: p.hostLink, Mac: p.hostMAC.String(), Mtu: 1500},
			{Name: p.ifName, Mac: p.mac.String(), Mtu: 1500, Sandbox: p.netns},
		},
		IPs: []*current.IPConfig{
			{Interface: current.Int(2), Address: address(p.ipv4), Gateway: net.IPv4(10, 77, 0, 1)},
			{Interface: current.Int(2), Address: address(p.ipv6), Gateway: net.ParseIP("fd77::1")},
		},
	}
	converted, err := result.GetAsVersion(version)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(converted)
	if err != nil {
		return nil, err
	}
	var object Object
	return object, json.Unmarshal(data, &object)
}

// withOwnNumber puts the container's number for OwnNumber.
func (p *previous) withOwnNumber(config []byte) []byte {
	return bytes.ReplaceAll(config, []byte(fmt.Sprint(OwnNumber)), []byte(fmt.Sprint(OwnNumber+p.number)))
}

// withPreviousResult adds the prevResult to the configuration of an ADD, in the
// version that it names. It changes the text only, which may be no JSON.
func (p *previous) withPreviousResult(config []byte) []byte {
	brace := bytes.IndexByte(config, '{')
	if brace < 0 || bytes.Contains(config, []byte(`"prevResult"`)) {
		return config
	}
	version := "1.1.0"
	if found := regexp.MustCompile(`"cniVersion":"([0-9.]+)"`).FindSubmatch(config); found != nil {
		version = string(found[1])
	}
	result, err := p.result(version)
	if err != nil { // nobody speaks that version
		return config
	}
	member := `"prevResult":` + string(encode(result))
	if rest := bytes.TrimSpace(config[brace+1:]); len(rest) > 0 && rest[0] != '}' {
		member += ","
	}
	return append(append(bytes.Clone(config[:brace+1]), member...), config[brace+1:]...)
}

// anonymous puts words for what is different in every attachment.
func (p *previous) anonymous(text string) string {
	return strings.NewReplacer(
		p.hostLink+" ", "PAIR ", p.hostLink+"\n", "PAIR\n",
		p.hostMAC.String(), "HOSTMAC", p.mac.String(), "MAC",
		p.ipv4.String()+"/", "IPV4/", p.ipv4.String()+" ", "IPV4 ", p.ipv4.String()+"\n", "IPV4\n",
		p.ipv6.String()+"/", "IPV6/", p.ipv6.String()+" ", "IPV6 ", p.ipv6.String()+"\n", "IPV6\n",
	).Replace(text)
}

// linesOf returns the lines of a snapshot that are about the host's end,
// without what is different in every attachment.
func (p *previous) linesOf(snapshot string) []string {
	var about []string
	for line := range strings.SplitSeq(snapshot, "\n") {
		if !strings.Contains(line, p.hostLink) {
			continue // anonymous takes long, and hardly a line is about a pair
		}
		if named := p.anonymous(line + "\n"); strings.Contains(named, "PAIR") {
			about = append(about, strings.TrimSuffix(named, "\n"))
		}
	}
	return about
}
