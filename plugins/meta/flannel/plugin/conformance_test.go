// SPDX-License-Identifier: Apache-2.0

//go:build linux

package flannel

import (
	"os"
	"path/filepath"

	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(overBridge())

// overBridge has flannel delegate to bridge.
func overBridge() conformance.Suite {
	return conformance.Suite{
		Plugin: Plugin,
		Dir:    "plugins/meta/flannel",
		Others: []string{"plugins/main/bridge"},
		IPAM:   plugin.NoIPAM,
		Config: func(h *conformance.Host) conformance.Object {
			return withSubnet(h, conformance.Object{"delegate": conformance.Object{"bridge": "cnitest0"}})
		},
		Full: []func(*conformance.Host) conformance.Object{everyKey},
		// What DEL needs is in the record.
		Changed: func(*conformance.Host) conformance.Object {
			return conformance.Object{"subnetFile": "/nowhere", "delegate": conformance.Object{"type": "nothing"}}
		},
		Prepare: func(h *conformance.Host) error {
			return os.WriteFile(subnetFileOf(h), []byte("FLANNEL_NETWORK=10.88.0.0/16\nFLANNEL_SUBNET=10.88.1.1/24\n"+
				"FLANNEL_IPV6_NETWORK=fd88::/64\nFLANNEL_IPV6_SUBNET=fd88::1:1/112\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"), 0o644)
		},
		Breakages: conformance.InterfaceBreakages(),
	}
}

func subnetFileOf(h *conformance.Host) string { return filepath.Join(h.DataDir, "subnet.env") }

// withSubnet adds the keys that all configurations have.
func withSubnet(h *conformance.Host, config conformance.Object) conformance.Object {
	config["subnetFile"] = subnetFileOf(h)
	config["ipam"] = conformance.Object{
		"dataDir": h.DataDir,
		"routes":  []any{conformance.Object{"dst": "192.0.2.0/24"}, conformance.Object{"dst": "2001:db8::/32"}},
	}
	return config
}

func everyKey(h *conformance.Host) conformance.Object {
	return withSubnet(h, conformance.Object{
		"dataDir":       defaultDataDir,
		"delegate":      conformance.Object{"type": "bridge"},
		"runtimeConfig": conformance.Object{"mac": "02:00:00:00:00:03"},
	})
}
