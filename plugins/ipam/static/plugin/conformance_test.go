// SPDX-License-Identifier: Apache-2.0

//go:build linux

package static

import (
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(suite())

func suite() conformance.Suite {
	addresses := []any{
		conformance.Object{"address": "10.88.1.2/24", "gateway": "10.88.1.1"},
		conformance.Object{"address": "fd88::2/64", "gateway": "fd88::1"},
	}
	return conformance.Suite{
		Plugin: Plugin,
		Dir:    "plugins/ipam/static",
		IPAM:   plugin.IsIPAM,
		Typo:   [2]string{"adresses", "addresses"},
		Config: func(*conformance.Host) conformance.Object {
			return conformance.Object{"ipam": conformance.Object{"type": "static", "addresses": addresses}}
		},
		Full: []func(*conformance.Host) conformance.Object{func(*conformance.Host) conformance.Object {
			return conformance.Object{
				"ipam": conformance.Object{
					"type": "static", "addresses": addresses,
					"routes": []any{conformance.Object{"dst": "192.0.2.0/24", "gw": "10.88.1.1", "mtu": 1400, "priority": 7, "table": 100, "scope": 0}},
					"dns":    conformance.Object{"nameservers": []any{"10.1.2.3"}, "domain": "a.b", "search": []any{"a.b"}, "options": []any{"x"}},
				},
				"args":          conformance.Object{"cni": conformance.Object{"ips": []any{"10.88.1.20/24"}}},
				"runtimeConfig": conformance.Object{"ips": []any{"fd88::1:7/112"}},
			}
		}},
		Breakages: []conformance.Breakage{
			{What: "an address is missing in the result", Want: "10.88.1.2 on interface eth0", Do: func(a conformance.Attachment) error {
				ips := a.Result["ips"].([]any)
				a.Result["ips"] = ips[1:]
				return nil
			}},
		},
	}
}
