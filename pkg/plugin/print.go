// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
)

// resultText returns what result.PrintTo prints, byte for byte if all is UTF-8.
// On its way there the library encodes a result twice and decodes it once, and
// makes encoders and decoders for a dozen types: a twenty-fifth of an ADD.
func resultText(result *current.Result) ([]byte, error) {
	var o object
	o.addIf(result.CNIVersion != "", "cniVersion", result.CNIVersion)
	o.addIf(!result.DNS.IsEmpty(), "dns", describeDNS(result.DNS))
	o.addIf(len(result.Interfaces) > 0, "interfaces", list(result.Interfaces, describeInterface))
	o.addIf(len(result.IPs) > 0, "ips", list(result.IPs, describeIP))
	o.addIf(len(result.Routes) > 0, "routes", list(result.Routes, describeRoute))
	return appendValue(nil, "\n", o)
}

func describeDNS(dns types.DNS) (o object) {
	o.addIf(dns.Domain != "", "domain", dns.Domain)
	o.addIf(len(dns.Nameservers) > 0, "nameservers", texts(dns.Nameservers))
	o.addIf(len(dns.Options) > 0, "options", texts(dns.Options))
	o.addIf(len(dns.Search) > 0, "search", texts(dns.Search))
	return o
}

func describeInterface(i *current.Interface) (o object) {
	o.addIf(i.Mac != "", "mac", i.Mac)
	o.addIf(i.Mtu != 0, "mtu", i.Mtu)
	o.addIf(true, "name", i.Name)
	o.addIf(i.PciID != "", "pciID", i.PciID)
	o.addIf(i.Sandbox != "", "sandbox", i.Sandbox)
	o.addIf(i.SocketPath != "", "socketPath", i.SocketPath)
	return o
}

func describeIP(ip *current.IPConfig) (o object) {
	o.addIf(true, "address", ip.Address.String())
	o.addIf(len(ip.Gateway) > 0, "gateway", ip.Gateway)
	o.addIf(ip.Interface != nil, "interface", ip.Interface)
	return o
}

func describeRoute(route *types.Route) (o object) {
	o.addIf(route.AdvMSS != 0, "advmss", route.AdvMSS)
	o.addIf(true, "dst", route.Dst.String())
	o.addIf(len(route.GW) > 0, "gw", route.GW)
	o.addIf(route.MTU != 0, "mtu", route.MTU)
	o.addIf(route.Priority != 0, "priority", route.Priority)
	o.addIf(route.Scope != nil, "scope", route.Scope)
	o.addIf(route.Table != nil, "table", route.Table)
	return o
}

// object is one of JSON, with its members in the order of their keys; array is
// the other kind of value that takes more than a line.
type (
	object []member
	member struct {
		key   string
		value any
	}
	array []any
)

func (o *object) addIf(there bool, key string, value any) {
	if there {
		*o = append(*o, member{key, value})
	}
}

func list[T any](elements []*T, describe func(*T) object) array {
	a := make(array, len(elements))
	for i, element := range elements {
		if element != nil {
			a[i] = describe(element)
		}
	}
	return a
}

func texts(elements []string) array {
	a := make(array, len(elements))
	for i, element := range elements {
		a[i] = element
	}
	return a
}

// appendValue appends a value; newline is what the line it is in begins with.
func appendValue(text []byte, newline string, value any) ([]byte, error) {
	switch v := value.(type) {
	case object:
		return appendLines(text, newline, "{}", len(v), func(text []byte, inner string, i int) ([]byte, error) {
			return appendValue(append(append(append(text, '"'), v[i].key...), `": `...), inner, v[i].value)
		})
	case array:
		return appendLines(text, newline, "[]", len(v), func(text []byte, inner string, i int) ([]byte, error) {
			return appendValue(text, inner, v[i])
		})
	}
	simple, err := json.Marshal(value)
	return append(text, simple...), err
}

// appendLines appends n elements, each on a line of its own.
func appendLines(text []byte, newline, brackets string, n int, element func(text []byte, inner string, i int) ([]byte, error)) (_ []byte, err error) {
	inner := newline + "    "
	text = append(text, brackets[0])
	for i := range n {
		if i > 0 {
			text = append(text, ',')
		}
		if text, err = element(append(text, inner...), inner, i); err != nil {
			return nil, err
		}
	}
	if n > 0 {
		text = append(text, newline...)
	}
	return append(text, brackets[1]), nil
}
