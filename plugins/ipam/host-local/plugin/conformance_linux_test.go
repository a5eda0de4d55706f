// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var dualStack = conformance.Suite{
	Name:   "dual stack",
	Plugin: Plugin,
	Dir:    "plugins/ipam/host-local",
	IPAM:   plugin.IsIPAM,
	Config: func(h *conformance.Host) conformance.Object {
		return conformance.Object{"ipam": conformance.Object{
			"type":    "host-local",
			"dataDir": h.DataDir,
			"ranges": []any{
				[]any{conformance.Object{"subnet": "10.88.0.0/16", "rangeStart": "10.88.1.0", "rangeEnd": "10.88.1.255", "gateway": "10.88.0.1"}},
				[]any{conformance.Object{"subnet": "fd88::/64"}},
			},
			"routes": []any{conformance.Object{"dst": "192.0.2.0/24"}, conformance.Object{"dst": "2001:db8::/32"}},
		}}
	},
	Full: []func(*conformance.Host) conformance.Object{func(h *conformance.Host) conformance.Object {
		return conformance.Object{
			"ipam": conformance.Object{
				"type":       "host-local",
				"dataDir":    h.DataDir,
				"subnet":     "10.88.0.0/16",
				"rangeStart": "10.88.1.0",
				"rangeEnd":   "10.88.1.255",
				"gateway":    "10.88.0.1",
				"resolvConf": "/dev/null",
			},
			"runtimeConfig": conformance.Object{
				"ips":      []any{"10.88.1.9/16"},
				"ipRanges": []any{[]any{conformance.Object{"subnet": "fd88::/64", "rangeStart": "fd88::5", "rangeEnd": "fd88::ff", "gateway": "fd88::1"}}},
			},
			"args": conformance.Object{"cni": conformance.Object{"ips": []any{"fd88::9"}}},
		}
	}},
	Changed: func(h *conformance.Host) conformance.Object {
		return conformance.Object{"ipam": conformance.Object{"type": "host-local", "dataDir": h.DataDir, "subnet": "10.99.0.0/16"}}
	},
}

var _ = conformance.Run(dualStack)

var _ = conformance.KillMatrix(dualStack)
