// SPDX-License-Identifier: Apache-2.0

package static

import (
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var dualStack = conformance.Suite{
	Name:   "dual stack",
	Plugin: Plugin,
	Dir:    "plugins/ipam/static",
	IPAM:   plugin.IsIPAM,
	Config: func(*conformance.Host) conformance.Object {
		return conformance.Object{"ipam": conformance.Object{
			"type": "static",
			"addresses": []any{
				conformance.Object{"address": "10.88.1.2/16", "gateway": "10.88.0.1"},
				conformance.Object{"address": "fd88::2/64"},
			},
		}}
	},
	Full: []func(*conformance.Host) conformance.Object{func(*conformance.Host) conformance.Object {
		return conformance.Object{
			"ipam":          conformance.Object{"type": "static", "dns": conformance.Object{"nameservers": []any{"10.88.0.1"}, "domain": "example.com"}},
			"runtimeConfig": conformance.Object{"ips": []any{"10.88.1.3/16", "fd88::3/64"}},
			"args":          conformance.Object{"cni": conformance.Object{"ips": []any{"10.88.1.4/16"}}},
		}
	}},
	Typo: [2]string{"addressess", "addresses"},
}

var _ = conformance.Run(dualStack)

var _ = conformance.KillMatrix(dualStack)
