// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostlocal

import (
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(suite())

func suite() conformance.Suite {
	return conformance.Suite{
		Plugin: Plugin,
		Dir:    "plugins/ipam/host-local",
		IPAM:   plugin.IsIPAM,
		Config: func(h *conformance.Host) conformance.Object {
			return conformance.Object{"ipam": ranges(h)}
		},
		Full: []func(*conformance.Host) conformance.Object{everyKey},
		Changed: func(h *conformance.Host) conformance.Object {
			return conformance.Object{"ipam": conformance.Object{"type": "host-local", "dataDir": h.DataDir, "subnet": "172.16.0.0/24"}}
		},
		Breakages: []conformance.Breakage{
			{What: "one reservation is gone", Want: "is not reserved for container",
				Do: func(a conformance.Attachment) error { return a.Host.ReleaseAddress("10.88.1.") }},
			{What: "another reservation is gone", Want: "Failed to find address added by container", Alone: true,
				Do: func(a conformance.Attachment) error {
					if err := a.Host.ReleaseAddress("10.88.1."); err != nil {
						return err
					}
					return a.Host.ReleaseAddress("fd88::1:")
				}},
		},
	}
}

func ranges(h *conformance.Host) conformance.Object {
	return conformance.Object{
		"type":    "host-local",
		"dataDir": h.DataDir,
		"ranges": []any{
			[]any{conformance.Object{"subnet": "10.88.1.0/24", "rangeEnd": "10.88.1.100", "gateway": "10.88.1.254"}},
			[]any{conformance.Object{"subnet": "fd88::1:0/112"}},
		},
	}
}

func everyKey(h *conformance.Host) conformance.Object {
	ipam := ranges(h)
	ipam["ranges"] = []any{
		[]any{
			conformance.Object{"subnet": "10.88.1.0/24", "rangeStart": "10.88.1.10", "rangeEnd": "10.88.1.100", "gateway": "10.88.1.1"},
			conformance.Object{"subnet": "10.88.2.0/24"},
		},
		[]any{conformance.Object{"subnet": "fd88::1:0/112"}},
	}
	ipam["subnet"], ipam["rangeStart"], ipam["rangeEnd"], ipam["gateway"] = "10.90.0.0/16", "10.90.0.2", "10.90.3.0", "10.90.0.1"
	ipam["routes"] = []any{conformance.Object{"dst": "192.0.2.0/24", "gw": "10.88.1.1", "mtu": 1400, "advmss": 1360, "priority": 7, "table": 100, "scope": 0}}
	ipam["resolvConf"] = "/etc/hosts" // lines of two words: no keyword of resolv.conf among them
	return conformance.Object{
		"ipam":          ipam,
		"args":          conformance.Object{"cni": conformance.Object{"ips": []any{"10.88.1.20"}}},
		"runtimeConfig": conformance.Object{"ips": []any{"fd88::1:7/112"}, "ipRanges": []any{[]any{conformance.Object{"subnet": "10.91.0.0/24"}}}},
	}
}
