// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(withAddresses(), atLayer2())

// way is the host-device plugin, which takes any of the host's NICs.
func way(name string) conformance.Suite {
	return conformance.Suite{
		Name:   name,
		Plugin: Plugin,
		Dir:    "plugins/main/host-device",
		IPAM:   plugin.OptionalIPAM,
		Lends:  true,
		Typo:   [2]string{"hwadr", "hwaddr"},
		Config: func(*conformance.Host) conformance.Object {
			return conformance.Object{"hwaddr": conformance.NICAddress}
		},
		Prepare: conformance.MakeNICs,
	}
}

func withAddresses() conformance.Suite {
	s := way("with addresses")
	s.Full = []func(*conformance.Host) conformance.Object{everyKey}
	s.Changed = func(*conformance.Host) conformance.Object { return conformance.Object{"device": "nic23"} }
	s.Breakages = append(conformance.InterfaceBreakages(), conformance.Breakage{
		What: "the interface has lost its marks", Want: "eth0: the interface does not say what it is called on the host",
		Do: conformance.InContainer(forget), Alone: true, // what has lost its marks is not brought home
	})
	return s
}

func forget(l netlink.Link) error {
	if err := netlink.LinkSetAlias(l, ""); err != nil {
		return err
	}
	return link.RemoveAltNames(l.Attrs().Index, marks(l)...)
}

func atLayer2() conformance.Suite {
	s := way("at layer 2")
	s.Layer2 = true
	return s
}

// everyKey has each but runtimeConfig.deviceID: what hardware there is differs
// from machine to machine.
func everyKey(*conformance.Host) conformance.Object {
	return conformance.Object{
		"device": "nic3", "hwaddr": conformance.NICAddress, "kernelpath": "/sys/devices/none",
		"pciBusID": "none", "dpdkMode": false, "probe": true,
	}
}
