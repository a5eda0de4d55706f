// SPDX-License-Identifier: Apache-2.0

package ip

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

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
// hostVethName in hostNS. The host's is up and takes no router advertisements; the
// container's is still down, so that it can be renamed, or get another address that
// its IPv6 address follows from. An empty hostVethName stands for a random one, an empty
// contVethMac for a random address, an mtu of 0 or less for the kernel's default.
func SetupVethWithName(contVethName, hostVethName string, mtu int, contVethMac string, hostNS ns.NetNS) (net.Interface, net.Interface, error) {
	mac, err := parseMAC(contVethMac)
	if err != nil {
		return net.Interface{}, net.Interface{}, err
	}
	spec := link.VethSpec{
		Host:      link.VethEnd{Name: hostVethName, Netns: hostNS},
		Container: link.VethEnd{Name: contVethName, MAC: mac},
		MTU:       max(mtu, 0),
	}
	if err := createPair(&spec); err != nil {
		return net.Interface{}, net.Interface{}, err
	}
	host, container, err := startPair(spec, hostNS)
	if err != nil {
		return net.Interface{}, net.Interface{}, errors.Join(err, link.Delete(contVethName))
	}
	return host, container, nil
}

// RandomVethName returns a name for an end of a veth pair. Network managers
// know by its first letters that the link is not theirs.
func RandomVethName() (string, error) {
	return link.RandomVethName(), nil
}

// parseMAC returns the MAC address that text is, nil for an empty one.
func parseMAC(text string) (net.HardwareAddr, error) {
	if text == "" {
		return nil, nil
	}
	mac, err := net.ParseMAC(text)
	if err != nil {
		return nil, fmt.Errorf("mac of the container's end: %w", err)
	}
	return mac, nil
}

// createPair makes the pair, under a random name on the host if spec has none,
// which it then gets.
func createPair(spec *link.VethSpec) error {
	if spec.Host.Name == "" {
		return createUnderFreeName(spec, RandomVethName)
	}
	_, _, err := link.CreateVeth(*spec)
	return describeCreate(spec, err)
}

// createUnderFreeName tries the given names for the host's end until one is
// free.
func createUnderFreeName(spec *link.VethSpec, nextName func() (string, error)) (err error) {
	const attempts = 10
	for range attempts {
		if spec.Host.Name, err = nextName(); err != nil {
			return err
		}
		_, _, err = link.CreateVeth(*spec)
		if taken := (*link.ExistsError)(nil); !errors.As(err, &taken) || taken.InContainer {
			break
		}
	}
	return describeCreate(spec, err)
}

func describeCreate(spec *link.VethSpec, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("create the veth pair %q (container) and %q (host): %w", spec.Container.Name, spec.Host.Name, err)
}

// startPair sets the host's end up and returns both as they are then.
func startPair(spec link.VethSpec, hostNS ns.NetNS) (host, container net.Interface, err error) {
	host, err = ns.Call(hostNS, func() (net.Interface, error) {
		// A router advertisement must not configure the host's end. The kernel may
		// have no IPv6, and /proc/sys may be read-only.
		_ = sysctl.Set("net/ipv6/conf/"+spec.Host.Name+"/accept_ra", "0")
		return start(spec.Host.Name)
	})
	if err != nil {
		return host, container, err
	}
	container, err = findInterface(spec.Container.Name)
	return host, container, err
}

// start sets the link called name up.
func start(name string) (net.Interface, error) {
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
