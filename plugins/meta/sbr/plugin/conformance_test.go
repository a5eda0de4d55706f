// SPDX-License-Identifier: Apache-2.0

//go:build linux

package sbr

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(ownTables(), tableOfOthers())

func way(name string, config conformance.Object) conformance.Suite {
	return conformance.Suite{
		Name:    name,
		Plugin:  Plugin,
		Dir:     "plugins/meta/sbr",
		IPAM:    plugin.NoIPAM,
		Chained: true,
		Needs:   []string{"policy-routing", "ip-tool"},
		Typo:    [2]string{"tabel", "table"},
		Config:  func(*conformance.Host) conformance.Object { return config },
		Changed: func(*conformance.Host) conformance.Object { return conformance.Object{"table": 77} },
	}
}

func ownTables() conformance.Suite {
	s := way("with tables of its own", conformance.Object{"addSourceHints": true})
	s.Full = []func(*conformance.Host) conformance.Object{everyKey, func(*conformance.Host) conformance.Object { return conformance.Object{"table": 4711} }}
	s.Breakages = []conformance.Breakage{
		{What: "the interface is gone", Want: "eth0: the interface is gone", Alone: true, Do: inside("link del eth0")},
		{What: "the rule for IPv4 is gone", Want: "the rule from 10.77.", Alone: true, Do: inside("rule flush protocol 67")},
		{What: "the rule for IPv6 is gone", Want: "the rule from fd77::", Alone: true, Do: inside("-6 rule flush protocol 67")},
		{What: "the default route is gone", Want: "the default route via 10.77.0.1 through eth0 is missing in table 100", Do: inside("route del default table 100")},
		{What: "the route to the subnet is gone", Want: "the route to 10.77.0.0/16 through eth0 is missing in table 100", Do: inside("route del 10.77.0.0/16 table 100")},
		{What: "an IPv6 route is gone", Want: "the route to fd77::/64 through eth0 is missing in table 101", Do: inside("route del fd77::/64 table 101")},
		{What: "the hint is gone", Want: "the route to fd77::/64 with source fd77::", Do: inside("-6 route flush fd77::/64 proto 67")},
		{What: "a default route has come back", Want: "a default route through eth0 is in the main table", Do: inside("route add default dev eth0")},
	}
	return s
}

func tableOfOthers() conformance.Suite {
	s := way("with a table of others", conformance.Object{"table": 4711})
	s.Breakages = []conformance.Breakage{
		{What: "the rule leads elsewhere", Want: "the rule from 10.77.", Do: func(a conformance.Attachment) error {
			return inside("rule flush table 4711")(a)
		}},
	}
	return s
}

func everyKey(*conformance.Host) conformance.Object {
	return conformance.Object{"gateways": []any{"10.77.0.1", "fd77::1"}, "addSourceHints": true}
}

// inside runs an ip command in the container.
func inside(command string) func(conformance.Attachment) error {
	return func(a conformance.Attachment) error {
		return a.Container.Do(func() error {
			if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %s: %w: %s", command, err, out)
			}
			return nil
		})
	}
}
