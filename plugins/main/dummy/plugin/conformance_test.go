// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dummy

import (
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils/conformance"
)

var _ = conformance.Run(withAddresses())

func withAddresses() conformance.Suite {
	return conformance.Suite{
		Name:      "with addresses",
		Plugin:    Plugin,
		Dir:       "plugins/main/dummy",
		IPAM:      plugin.RequiredIPAM,
		Inside:    true,
		Brief:     true,
		Needs:     []string{"dummy"},
		Config:    func(*conformance.Host) conformance.Object { return conformance.Object{} },
		Breakages: conformance.InterfaceBreakages(),
	}
}
