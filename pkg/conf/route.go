// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"math"
	"net"
	"reflect"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/utils/subnet"
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
	Route(d.problems, path, target)
}

// Route notes the numbers of a route that would become others in the message to the
// kernel, and a gateway that the kernel would refuse.
func Route(p *Problems, path string, route *types.Route) {
	for _, field := range []struct {
		name  string
		value *int
		last  int64
	}{
		{"table", route.Table, math.MaxUint32},
		{"scope", route.Scope, math.MaxUint8},
		{"priority", &route.Priority, math.MaxUint32},
		{"mtu", &route.MTU, math.MaxUint32},
		{"advmss", &route.AdvMSS, math.MaxUint32},
	} {
		if field.value != nil && (*field.value < 0 || int64(*field.value) > field.last) {
			p.Add(join(path, field.name), "%d is outside 0-%d", *field.value, field.last)
		}
	}
	if dst := subnet.Unmapped(&route.Dst); dst != nil && route.GW != nil && isIPv4(route.GW) != isIPv4(dst.IP) {
		p.Add(join(path, "gw"), "%s is not of the family of %s", route.GW, dst)
	}
}

func isIPv4(ip net.IP) bool { return ip.To4() != nil }

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
