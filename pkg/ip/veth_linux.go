// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// SetupVeth is SetupVethWithName with a random name for the host's end.
func SetupVeth(contVethName string, mtu int, contVethMac string, hostNS ns.NetNS) (net.Interface, net.Interface, error) {
	return SetupVethWithName(contVethName, "", mtu, contVethMac, hostNS)
}

// SetupVethWithName makes a veth pair and returns its ends, the host's first:
// one called contVethName in the calling thread's namespace, one called
// hostVethName in hostNS. Both are up, and the host's takes no router
// advertisements. An empty hostVethName stands for a random one, an empty
// contVethMac for a random address, mtu 0 for the kernel's default.
func SetupVethWithName(contVethName, hostVethName string, mtu int, contVethMac string, hostNS ns.NetNS) (net.Interface, net.Interface, error) {
	mac, err := containerMAC(contVethMac)
	if err != nil {
		return net.Interface{}, net.Interface{}, err
	}
	pair := newPair(contVethName, mtu, mac, hostNS)
	if err := addPair(pair, hostVethName, hostNS); err != nil {
		return net.Interface{}, net.Interface{}, err
	}
	host, container, err := finishPair(pair, hostNS)
	if err != nil {
		return net.Interface{}, net.Interface{}, errors.Join(err, link.Delete(contVethName))
	}
	return host, container, nil
}

// RandomVethName returns a name for an end of a veth pair. Network managers
// know by its first letters that the link is not theirs.
func RandomVethName() (string, error) {
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("random veth name: %w", err)
	}
	return fmt.Sprintf("veth%x", random), nil
}

func containerMAC(text string) (net.HardwareAddr, error) {
	if text == "" {
		return link.RandomMAC(), nil
	}
	mac, err := net.ParseMAC(text)
	if err != nil {
		return nil, fmt.Errorf("mac of the container's end: %w", err)
	}
	return mac, nil
}

// newPair describes a pair that lacks only the name of its host end. Both ends
// are given an address: udev replaces those that the kernel chose.
func newPair(container string, mtu int, mac net.HardwareAddr, hostNS ns.NetNS) *netlink.Veth {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = container
	attrs.Flags = net.FlagUp
	attrs.MTU = mtu
	attrs.HardwareAddr = mac
	return &netlink.Veth{
		LinkAttrs:        attrs,
		PeerHardwareAddr: link.RandomMAC(),
		PeerNamespace:    netlink.NsFd(hostNS.Fd()),
	}
}

// addPair asks the kernel for pair with the given name for its host end, or with
// a random one.
func addPair(pair *netlink.Veth, hostName string, hostNS ns.NetNS) error {
	if hostName == "" {
		return addUnderFreeName(pair, hostNS, RandomVethName)
	}
	pair.PeerName = hostName
	return describeAdd(pair, netlink.LinkAdd(pair))
}

// addUnderFreeName tries the given names for the host end until one is free.
func addUnderFreeName(pair *netlink.Veth, hostNS ns.NetNS, nextName func() (string, error)) (err error) {
	const attempts = 10
	for range attempts {
		if pair.PeerName, err = nextName(); err != nil {
			return err
		}
		err = netlink.LinkAdd(pair)
		if !errors.Is(err, unix.EEXIST) || !exists(pair.PeerName, hostNS) {
			break
		}
	}
	return describeAdd(pair, err)
}

func exists(name string, hostNS ns.NetNS) bool {
	return hostNS.Do(func(ns.NetNS) error {
		_, err := link.Find(name)
		return err
	}) == nil
}

func describeAdd(pair *netlink.Veth, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("create the veth pair %q (container) and %q (host): %w", pair.Name, pair.PeerName, err)
}

// finishPair sets the host's end up and returns both as they are then.
func finishPair(pair *netlink.Veth, hostNS ns.NetNS) (host, container net.Interface, err error) {
	host, err = ns.Call(hostNS, func() (net.Interface, error) { return startHostEnd(pair.PeerName) })
	if err != nil {
		return host, container, err
	}
	container, err = findInterface(pair.Name)
	return host, container, err
}

func startHostEnd(name string) (net.Interface, error) {
	// A router advertisement must not configure the host's end. The kernel may
	// have no IPv6, and /proc/sys may be read-only.
	_ = sysctl.Set("net/ipv6/conf/"+name+"/accept_ra", "0")
	l, err := link.Find(name)
	if err != nil {
		return net.Interface{}, err
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return net.Interface{}, fmt.Errorf("set %q up: %w", name, err)
	}
	return findInterface(name)
}

func findInterface(name string) (net.Interface, error) {
	l, err := link.Find(name)
	if err != nil {
		return net.Interface{}, err
	}
	attrs := l.Attrs()
	return net.Interface{
		Index:        attrs.Index,
		MTU:          attrs.MTU,
		Name:         attrs.Name,
		HardwareAddr: attrs.HardwareAddr,
		Flags:        attrs.Flags,
	}, nil
}
