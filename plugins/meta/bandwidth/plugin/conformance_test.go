// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(allTraffic(), subnets(), ingressAlone())

func way(name string, more conformance.Object) conformance.Suite {
	return conformance.Suite{
		Name:    name,
		Plugin:  Plugin,
		Dir:     "plugins/meta/bandwidth",
		IPAM:    plugin.NoIPAM,
		Chained: true,
		Needs:   []string{"ifb", "tbf", "mirred", "ip-tool"},
		Typo:    [2]string{"ingresRate", "ingressRate"},
		Config:  func(*conformance.Host) conformance.Object { return limits(more) },
	}
}

func limits(more conformance.Object) conformance.Object {
	config := conformance.Object{"ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 16_000_000, "egressBurst": 1_600_000}
	for key, value := range more {
		config[key] = value
	}
	return config
}

func allTraffic() conformance.Suite {
	s := way("with all traffic", nil)
	s.Full = []func(*conformance.Host) conformance.Object{
		func(*conformance.Host) conformance.Object {
			return limits(conformance.Object{"shapedSubnets": []any{"10.0.0.0/8", "fd00::/8"}, "unshapedSubnets": []any{}})
		},
		func(*conformance.Host) conformance.Object {
			return conformance.Object{"runtimeConfig": conformance.Object{"bandwidth": limits(conformance.Object{"unshapedSubnets": []any{"0.0.0.0/0"}})}}
		},
	}
	s.Changed = func(*conformance.Host) conformance.Object { return conformance.Object{"ingressRate": 1} }
	s.Verify = verify
	s.Breakages = []conformance.Breakage{
		{What: "the device is gone", Want: ": the device is gone", Alone: true, Do: onDevice(netlink.LinkDel)},
		{What: "the device is down", Want: ": the interface is down", Do: onDevice(netlink.LinkSetDown)},
		{What: "the host's end is not shaped", Want: ": nothing limits its rate, expected tbf", Alone: true, Do: tc("qdisc del dev HOST root")},
		{What: "the host's end has another rate", Want: ": rate in bytes is 125000, expected 1000000",
			Do: tc("qdisc change dev HOST root handle 1: tbf rate 1mbit burst 100000 limit 125000")},
		{What: "the host's end has another discipline", Want: ": root queueing discipline is bfifo, expected tbf", Alone: true,
			Do: tc("qdisc replace dev HOST root handle 2: bfifo")},
		{What: "the device has another burst", Want: ": burst in ticks is ", Alone: true, Do: tc("qdisc change dev DEVICE root handle 1: tbf rate 16mbit burst 100000 limit 250000")},
		{What: "the device has another limit", Want: ": limit is 260000, expected 250000",
			Do: tc("qdisc change dev DEVICE root handle 1: tbf rate 16mbit burst 200000 limit 260000")},
		{What: "nothing leads to the device", Want: ": a filter that leads packets to bwp", Do: tc("qdisc del dev HOST ingress")},
	}
	return s
}

func subnets() conformance.Suite {
	s := way("with shaped subnets", conformance.Object{"shapedSubnets": []any{"10.0.0.0/8", "fd00::/8"}})
	s.Breakages = []conformance.Breakage{
		{What: "the device for what is received is gone", Want: ": the device is gone", Alone: true, Do: tc("device del INGRESS")},
		{What: "a filter for IPv6 is gone", Want: ": a filter that leads packets to bwp", Do: tc("filter del dev HOST ingress prio 15")},
		{What: "a filter for what is received is gone", Want: ": a filter that leads packets to bwi", Do: tc("filter del dev HOST egress prio 16")},
		{What: "the device for what is received is not shaped", Want: ": nothing limits its rate, expected tbf", Do: tc("qdisc del dev INGRESS root")},
	}
	return s
}

// ingressAlone has no device by which DEL and GC could find the host's end.
func ingressAlone() conformance.Suite {
	s := way("with what is received alone", conformance.Object{"egressRate": 0, "egressBurst": 0})
	s.Changed = func(*conformance.Host) conformance.Object {
		return conformance.Object{"egressRate": 8, "egressBurst": 8}
	}
	s.Breakages = []conformance.Breakage{
		{What: "the host's end is not shaped", Want: ": nothing limits its rate, expected tbf", Do: tc("qdisc del dev HOST root")},
	}
	return s
}

// deviceOf returns the name of the attachment's device that begins with prefix.
func deviceOf(a conformance.Attachment, prefix string) string {
	interfaces, _ := a.Result["interfaces"].([]any)
	for _, entry := range interfaces {
		if name, _ := entry.(conformance.Object)["name"].(string); strings.HasPrefix(name, prefix) {
			return name
		}
	}
	return ""
}

func onDevice(do func(netlink.Link) error) func(conformance.Attachment) error {
	return func(a conformance.Attachment) error {
		return a.Host.Do(func() error { return conformance.OnLink(deviceOf(a, egressPrefix), do) })
	}
}

// tc runs that program on the attachment's links.
func tc(command string) func(conformance.Attachment) error {
	return func(a conformance.Attachment) error {
		names := strings.NewReplacer("HOST", a.HostLink(), "DEVICE", deviceOf(a, egressPrefix), "INGRESS", deviceOf(a, ingressPrefix))
		words := strings.Fields(names.Replace(command))
		if words[0] == "device" {
			return a.Host.Command("ip", append([]string{"link"}, words[1:]...)...)
		}
		return a.Host.Command("tc", words...)
	}
}

// verify looks at the result, which has the device at the end.
func verify(a conformance.Attachment) error {
	interfaces, _ := a.Result["interfaces"].([]any)
	if len(interfaces) != 4 || !strings.HasPrefix(fmt.Sprint(interfaces[3].(conformance.Object)["name"]), egressPrefix) {
		return fmt.Errorf("the interfaces are %v", interfaces)
	}
	return nil
}
