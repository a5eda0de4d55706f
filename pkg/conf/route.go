// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"net"
	"reflect"

	"github.com/containernetworking/cni/pkg/types"
)

// route has the keys of types.Route, whose own decoding reports a wrong value
// without saying where.
type route struct {
	Dst      types.IPNet `json:"dst"`
	GW       net.IP      `json:"gw"`
	MTU      int         `json:"mtu"`
	AdvMSS   int         `json:"advmss"`
	Priority int         `json:"priority"`
	Table    *int        `json:"table"`
	Scope    *int        `json:"scope"`
}

func (d *decoder) route(path string, node any, target *types.Route) {
	object, ok := expect[map[string]any](d, path, node, "an object")
	if !ok {
		return
	}
	var r route
	before := d.problems.Len()
	d.object(path, object, reflect.ValueOf(&r).Elem())
	if r.Dst.IP == nil && d.problems.Len() == before {
		d.problems.Add(join(path, "dst"), "missing, the destination of a route is expected in CIDR notation")
	}
	*target = types.Route{Dst: net.IPNet(r.Dst), GW: r.GW, MTU: r.MTU, AdvMSS: r.AdvMSS, Priority: r.Priority, Table: r.Table, Scope: r.Scope}
}

func (d *decoder) network(path string, node any, target *types.IPNet) {
	text, ok := expect[string](d, path, node, "CIDR notation")
	if !ok {
		return
	}
	network, err := types.ParseCIDR(text)
	if err != nil {
		d.problems.Add(path, "%q is not CIDR notation such as 10.1.0.0/16", text)
		return
	}
	*target = types.IPNet(*network)
}
