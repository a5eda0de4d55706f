// SPDX-License-Identifier: Apache-2.0

package check

import (
	"net"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
)

func TestDescribe(t *testing.T) {
	table, scope := 4, 5
	for want, route := range map[string]types.Route{
		"10.9.0.0/16": {Dst: net.IPNet{IP: net.IPv4(10, 9, 0, 0), Mask: net.CIDRMask(16, 32)}},
		"::/0 via fe80::1 metric 1 mtu 2 advmss 3 table 4 scope 5": {
			Dst: net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
			GW:  net.ParseIP("fe80::1"), Priority: 1, MTU: 2, AdvMSS: 3, Table: &table, Scope: &scope,
		},
	} {
		if got := describe(&route); got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}
