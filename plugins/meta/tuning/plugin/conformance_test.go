// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tuning

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

var _ = conformance.Run(suite())

func suite() conformance.Suite {
	return conformance.Suite{
		Plugin:  Plugin,
		Dir:     "plugins/meta/tuning",
		IPAM:    plugin.NoIPAM,
		Chained: true,
		Typo:    [2]string{"sysctls", "sysctl"},
		Config:  func(*conformance.Host) conformance.Object { return tuned() },
		Full:    []func(*conformance.Host) conformance.Object{everyKey},
		Changed: func(*conformance.Host) conformance.Object {
			return conformance.Object{"sysctl": conformance.Object{"net.no.such": "1"}, "mtu": -1}
		},
		Verify:    verify,
		Breakages: breakages(),
	}
}

func tuned() conformance.Object {
	return conformance.Object{
		"sysctl": conformance.Object{"net.ipv4.conf.IFNAME.log_martians": "1", "net/ipv4/tcp_rmem": "4096 21000 0x7530"},
		"mac":    "02:00:00:00:00:0a", "promisc": true, "mtu": 1400, "allmulti": true, "txQLen": 77,
	}
}

func everyKey(h *conformance.Host) conformance.Object {
	config := tuned()
	config["dataDir"] = h.DataDir
	config["args"] = conformance.Object{"cni": tuned()}
	config["runtimeConfig"] = conformance.Object{"mac": "02:00:00:00:00:0b"}
	return config
}

// verify looks at the interface and the parameters, without the plugin's table.
func verify(a conformance.Attachment) error {
	return a.Container.Do(func() error {
		return conformance.OnLink(a.Container.IfName, func(l netlink.Link) error {
			attrs := l.Attrs()
			martians, err := sysctl.Sysctl("net/ipv4/conf/" + attrs.Name + "/log_martians")
			rmem, rmemErr := sysctl.Sysctl("net/ipv4/tcp_rmem")
			is := fmt.Sprintln(attrs.HardwareAddr, attrs.Promisc, attrs.MTU, attrs.Allmulti, attrs.TxQLen, martians, rmem)
			if want := "02:00:00:00:00:0a 1 1400 1 77 1 4096\t21000\t30000\n"; is != want {
				err = errors.Join(err, fmt.Errorf("the container is %q, expected %q", is, want))
			}
			return errors.Join(err, rmemErr)
		})
	})
}

func breakages() []conformance.Breakage {
	eth := func(do func(netlink.Link) error) func(conformance.Attachment) error {
		return func(a conformance.Attachment) error {
			return a.Container.Do(func() error { return conformance.OnLink(a.Container.IfName, do) })
		}
	}
	return []conformance.Breakage{
		{What: "the interface is gone", Want: "eth0: the interface is gone", Alone: true, Do: eth(netlink.LinkDel)},
		{What: "a parameter has another value", Want: "sysctl: net/ipv4/tcp_rmem is 4096\t21000\t40000, expected 4096 21000 0x7530",
			Do: func(a conformance.Attachment) error {
				return a.Container.Do(func() error { return sysctl.Write("net/ipv4/tcp_rmem", "4096 21000 40000") })
			}},
		{What: "the MAC address is another", Want: "eth0: mac is 02:00:00:00:00:99, expected 02:00:00:00:00:0a",
			Do: eth(func(l netlink.Link) error {
				return netlink.LinkSetHardwareAddr(l, net.HardwareAddr{2, 0, 0, 0, 0, 0x99})
			})},
		{What: "the interface is not promiscuous", Want: "eth0: promisc is false, expected true", Do: eth(netlink.SetPromiscOff)},
		{What: "the MTU is another", Want: "eth0: mtu is 1300, expected 1400",
			Do: eth(func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1300) })},
		{What: "the interface takes not all multicasts", Want: "eth0: allmulti is false, expected true", Do: eth(netlink.LinkSetAllmulticastOff)},
		{What: "the queue has another length", Want: "eth0: txQLen is 78, expected 77",
			Do: eth(func(l netlink.Link) error { return netlink.LinkSetTxQLen(l, 78) })},
	}
}
