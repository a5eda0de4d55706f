// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package loopback is the loopback plugin. It brings "lo" up in the container,
// whatever CNI_IFNAME says, and owns nothing: the kernel made the interface and
// takes it away with the namespace.
package loopback

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

const name = "lo"

// Config is the configuration of the loopback plugin: it has no keys of its own.
type Config struct {
	conf.Common
}

// Plugin is the loopback plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:          "loopback",
	Versions:      version.All,
	TakesPrev:     true,
	IgnoresIfName: true,
	Add:           add,
	Del:           del,
	Check:         checkUp,
})

func add(_ context.Context, req *plugin.Request, _ *Config) (*current.Result, error) {
	var result *current.Result
	err := req.InNetns(func() error {
		lo, err := up(req)
		if err != nil {
			return err
		}
		result, err = describe(lo, req.Netns.Path())
		return err
	})
	if err != nil || req.Prev == nil {
		return result, err
	}
	return req.Prev, nil
}

// del sets the interface down. A container that is gone took it along.
func del(_ context.Context, req *plugin.Request, _ *Config) error { return down(req) }

func down(req *plugin.Request) error {
	return req.InNetns(func() error {
		lo, err := link.Find(name)
		if err != nil {
			return err
		}
		return link.Apply(link.SetDown(lo))
	})
}

func checkUp(_ context.Context, req *plugin.Request, _ *Config) error {
	var report check.Report
	err := req.InNetns(func() error {
		if lo := report.Link(&current.Interface{Name: name}, ""); lo != nil {
			report.Up(lo)
			checkAddresses(&report, lo, req.Prev)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return report.Err()
}

// checkAddresses looks for the addresses that ADD reported. In the result of an
// earlier plugin there are none of the interface.
func checkAddresses(report *check.Report, lo netlink.Link, prev *current.Result) {
	if prev == nil {
		return
	}
	for index, iface := range prev.Interfaces {
		if iface.Name != name || iface.Sandbox == "" {
			continue
		}
		own := slices.DeleteFunc(slices.Clone(prev.IPs), func(ip *current.IPConfig) bool { return ip.Interface == nil })
		report.Addresses(lo, index, own)
	}
}

// up sets the interface up, unless it is, and pushes the way back; the kernel
// gives it 127.0.0.1 and ::1 as it does.
func up(req *plugin.Request) (netlink.Link, error) {
	lo, err := link.Find(name)
	if err != nil {
		return nil, err
	}
	if lo.Attrs().Flags&net.FlagUp != 0 {
		return lo, nil
	}
	if err := link.Apply(link.SetUp(lo)); err != nil {
		return nil, err
	}
	req.Undo.Push("loopback up", func() error { return down(req) })
	return lo, nil
}

// describe lists the first loopback address of each family. An address of
// another kind is refused, as it has always been: traffic to it would not leave
// the container, which is rarely what was meant.
func describe(lo netlink.Link, sandbox string) (*current.Result, error) {
	result := &current.Result{Interfaces: []*current.Interface{
		{Name: name, Mac: "00:00:00:00:00:00", Mtu: lo.Attrs().MTU, Sandbox: sandbox},
	}}
	addresses, err := netlinksafe.AddrList(lo, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses of %s: %w", name, err)
	}
	listed := map[bool]bool{}
	for _, addr := range addresses {
		if !addr.IP.IsLoopback() {
			return nil, fmt.Errorf("%s has the address %s, which is no loopback address; remove it", name, addr.IPNet)
		}
		if isIPv4 := addr.IP.To4() != nil; !listed[isIPv4] {
			listed[isIPv4] = true
			result.IPs = append(result.IPs, &current.IPConfig{Interface: current.Int(0), Address: *addr.IPNet})
		}
	}
	return result, nil
}
