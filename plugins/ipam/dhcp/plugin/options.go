// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"encoding/binary"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/d2g/dhcp4"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/utils/subnet"
)

// Options of DHCPv4 that the library has no name for, or another one.
const (
	optOverload        dhcp4.OptionCode = 52
	optMaxMessage      dhcp4.OptionCode = 57
	optT1              dhcp4.OptionCode = 58
	optT2              dhcp4.OptionCode = 59
	optClientID        dhcp4.OptionCode = 61
	optUserClass       dhcp4.OptionCode = 77
	optDomainSearch    dhcp4.OptionCode = 119
	optClasslessRoutes dhcp4.OptionCode = 121
)

// maxOption is how many bytes an option can have.
const maxOption = 255

// optionByName has the names that a configuration may use: those of the
// reference, and of the options whose values end up in a result.
func optionByName() map[string]dhcp4.OptionCode {
	return map[string]dhcp4.OptionCode{
		"dhcp-client-identifier":  optClientID,
		"subnet-mask":             dhcp4.OptionSubnetMask,
		"routers":                 dhcp4.OptionRouter,
		"host-name":               dhcp4.OptionHostName,
		"user-class":              optUserClass,
		"vendor-class-identifier": dhcp4.OptionVendorClassIdentifier,

		"domain-name-servers":     dhcp4.OptionDomainNameServer,
		"domain-name":             dhcp4.OptionDomainName,
		"domain-search":           optDomainSearch,
		"interface-mtu":           dhcp4.OptionInterfaceMTU,
		"static-routes":           dhcp4.OptionStaticRoute,
		"classless-static-routes": optClasslessRoutes,
	}
}

func optionNames() []string {
	var names []string
	for name := range optionByName() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func parseOptionName(text string) (dhcp4.OptionCode, bool) {
	if code, ok := optionByName()[text]; ok {
		return code, true
	}
	n, err := strconv.ParseUint(text, 10, 8)
	return dhcp4.OptionCode(n), err == nil
}

// option is one to send.
type option struct {
	code  dhcp4.OptionCode
	value []byte
}

// sentOptions returns the options that go into every DISCOVER and REQUEST: what
// is wanted, who asks, and what the configuration provides, which counts more.
func sentOptions(ipam IPAMConfig, cniArgs, clientID string) []option {
	options := []option{
		{dhcp4.OptionParameterRequestList, requestList(ipam.Request)},
		{optMaxMessage, binary.BigEndian.AppendUint16(nil, maxMessage)},
		{optClientID, append([]byte{0}, clientID...)},
	}
	args := parseArgs(cniArgs)
	for _, provided := range ipam.Provide {
		code, ok := parseOptionName(provided.Option)
		value, given := provided.value(args)
		if ok && given && len(value) <= maxOption && sendable(code) {
			options = setOption(options, option{code, []byte(value)})
		}
	}
	return slices.DeleteFunc(options, func(o option) bool { return o.code == dhcp4.OptionParameterRequestList && len(o.value) == 0 })
}

// value returns what to send, if there is anything: the value of a key of CNI_ARGS
// counts more, and may be empty.
func (o ProvideOption) value(args map[string]string) (value string, given bool) {
	if fromArg, found := args[o.FromArg]; found && o.FromArg != "" {
		return fromArg, true
	}
	return o.Value, o.Value != ""
}

// sendable tells whether a configuration may set the option: the kind of a
// message and the server it is for are not its business.
func sendable(code dhcp4.OptionCode) bool {
	return code != dhcp4.Pad && code != dhcp4.End && code != dhcp4.OptionDHCPMessageType && code != dhcp4.OptionServerIdentifier
}

func setOption(options []option, o option) []option {
	if at := slices.IndexFunc(options, func(other option) bool { return other.code == o.code }); at >= 0 {
		options[at] = o
		return options
	}
	return append(options, o)
}

// requestList is the parameter request list: the configuration's options in
// their order, then router and mask unless an entry says otherwise.
func requestList(requests []RequestOption) []byte {
	var list []byte
	defaults := []byte{byte(dhcp4.OptionRouter), byte(dhcp4.OptionSubnetMask)}
	for _, r := range requests {
		if r.SkipDefault {
			defaults = nil
		}
		if code, ok := parseOptionName(r.Option); ok {
			list = append(list, byte(code))
		}
	}
	for _, code := range defaults {
		if !slices.Contains(list, code) {
			list = append(list, code)
		}
	}
	return list
}

// parseArgs parses CNI_ARGS as dhcp always has: what is no pair is skipped, a
// value may contain "=", and no key is unknown.
func parseArgs(text string) map[string]string {
	args := map[string]string{}
	for _, pair := range strings.Split(text, ";") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			args[key] = value
		}
	}
	return args
}

// options are those of a received message, by code. An option that occurs more
// than once is one (RFC 3396).
type options map[dhcp4.OptionCode][]byte

// parseOptions reads the options of a message that checkMessage has accepted,
// with those that overflowed into the fields "file" and "sname" (RFC 2132, 9.3).
func parseOptions(message dhcp4.Packet) options {
	all := options{}
	all.parse(message.Options())
	if overload := all[optOverload]; len(overload) == 1 {
		if overload[0]&1 != 0 {
			all.parse(message[108:236])
		}
		if overload[0]&2 != 0 {
			all.parse(message[44:108])
		}
	}
	return all
}

func (o options) parse(data []byte) {
	for len(data) > 0 && dhcp4.OptionCode(data[0]) != dhcp4.End {
		if dhcp4.OptionCode(data[0]) == dhcp4.Pad {
			data = data[1:]
			continue
		}
		if len(data) < 2 || len(data) < 2+int(data[1]) {
			return
		}
		code, end := dhcp4.OptionCode(data[0]), 2+int(data[1])
		o[code] = append(o[code], data[2:end]...)
		data = data[end:]
	}
}

func (o options) messageType() dhcp4.MessageType {
	if value := o[dhcp4.OptionDHCPMessageType]; len(value) == 1 {
		return dhcp4.MessageType(value[0])
	}
	return 0
}

// addresses returns the list of addresses in an option.
func (o options) addresses(code dhcp4.OptionCode) []net.IP {
	var list []net.IP
	for value := o[code]; len(value) >= net.IPv4len; value = value[net.IPv4len:] {
		list = append(list, net.IP(slices.Clone(value[:net.IPv4len])))
	}
	return list
}

// address returns the only or first address in an option, or nil.
func (o options) address(code dhcp4.OptionCode) net.IP {
	if list := o.addresses(code); len(list) > 0 {
		return list[0]
	}
	return nil
}

func (o options) number(code dhcp4.OptionCode, bytes int) (uint32, bool) {
	value := o[code]
	switch {
	case len(value) != bytes:
		return 0, false
	case bytes == 2:
		return uint32(binary.BigEndian.Uint16(value)), true
	}
	return binary.BigEndian.Uint32(value), true
}

func (o options) mask() net.IPMask { return validMask(o[dhcp4.OptionSubnetMask]) }

// validMask returns a mask, or nil if it is none of IPv4.
func validMask(mask net.IPMask) net.IPMask {
	if ones, bits := mask.Size(); bits != 32 || ones == 0 {
		return nil
	}
	return mask
}

// routes returns the routes: the classless ones if there are any, and no others
// (RFC 3442); else the static ones, and a default route through the router.
func (o options) routes() []*types.Route {
	if routes := classlessRoutes(o[optClasslessRoutes]); len(routes) > 0 {
		return routes
	}
	routes := staticRoutes(o[dhcp4.OptionStaticRoute])
	if router := o.address(dhcp4.OptionRouter); router != nil {
		routes = append(routes, &types.Route{Dst: *subnet.Everything(router), GW: router})
	}
	return routes
}

// scopeLink is RT_SCOPE_LINK: the destination is on the link itself.
const scopeLink = 253

// classlessRoutes parses option 121. Half a list is worth nothing. Routes to what
// is on the link come first: others may have their gateways there.
func classlessRoutes(value []byte) []*types.Route {
	var routes []*types.Route
	for len(value) > 0 {
		ones := int(value[0])
		significant := (ones + 7) / 8
		end := 1 + significant + net.IPv4len
		if ones > 32 || len(value) < end {
			return nil
		}
		dst := make(net.IP, net.IPv4len)
		copy(dst, value[1:1+significant])
		mask := net.CIDRMask(ones, 32)
		route := &types.Route{Dst: net.IPNet{IP: dst.Mask(mask), Mask: mask}, GW: net.IP(slices.Clone(value[1+significant : end]))}
		if route.GW.Equal(net.IPv4zero) {
			scope := scopeLink
			route.Scope = &scope
		}
		routes = append(routes, route)
		value = value[end:]
	}
	slices.SortStableFunc(routes, func(a, b *types.Route) int { return compareScopes(a.Scope, b.Scope) })
	return routes
}

// compareScopes puts a scope before none.
func compareScopes(a, b *int) int {
	switch {
	case (a == nil) == (b == nil):
		return 0
	case a != nil:
		return -1
	}
	return 1
}

// staticRoutes parses option 33: pairs of a destination, whose class tells the
// mask, and a router.
func staticRoutes(value []byte) []*types.Route {
	var routes []*types.Route
	for ; len(value) >= 2*net.IPv4len; value = value[2*net.IPv4len:] {
		dst, router := net.IP(slices.Clone(value[:4])), net.IP(slices.Clone(value[4:8]))
		mask := dst.DefaultMask()
		routes = append(routes, &types.Route{Dst: net.IPNet{IP: dst.Mask(mask), Mask: mask}, GW: router})
	}
	return routes
}

// dns returns what the options say about name servers and domains, as far as
// it was asked for.
func (o options) dns(requested []byte) types.DNS {
	var dns types.DNS
	wanted := func(code dhcp4.OptionCode) bool { return slices.Contains(requested, byte(code)) }
	if wanted(dhcp4.OptionDomainNameServer) {
		for _, server := range o.addresses(dhcp4.OptionDomainNameServer) {
			dns.Nameservers = append(dns.Nameservers, server.String())
		}
	}
	if wanted(dhcp4.OptionDomainName) {
		dns.Domain = domainText(o[dhcp4.OptionDomainName])
	}
	if wanted(optDomainSearch) {
		dns.Search = searchList(o[optDomainSearch])
	}
	return dns
}

// domainText is a text that a server sent, if it can be a domain name: it may
// end up in a container's resolv.conf.
func domainText(value []byte) string {
	text := strings.TrimRight(string(value), "\x00")
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return text
}

// searchList decodes option 119: names in the wire format of DNS, compressed
// with pointers into the option (RFC 3397).
func searchList(value []byte) []string {
	var list []string
	for at := 0; at < len(value); {
		name, next, ok := domainName(value, at)
		if !ok {
			return nil
		}
		if name = domainText([]byte(name)); name != "" {
			list = append(list, name)
		}
		at = next
	}
	return list
}

// domainName decodes the name at an offset and returns the offset after it.
func domainName(data []byte, at int) (name string, next int, ok bool) {
	var labels []string
	limit := at // pointers only lead backwards, so that they come to an end
	for at < len(data) {
		length := int(data[at])
		switch {
		case length == 0:
			return strings.Join(labels, "."), max(next, at+1), true
		case length&0xc0 == 0xc0 && at+1 < len(data):
			target := (length&0x3f)<<8 | int(data[at+1])
			next = max(next, at+2)
			if target >= limit {
				return "", 0, false
			}
			at, limit = target, target
		case length&0xc0 == 0 && at+1+length <= len(data):
			labels = append(labels, string(data[at+1:at+1+length]))
			at += 1 + length
		default:
			return "", 0, false
		}
	}
	return "", 0, false
}

// mtu returns the MTU of the link, if it was asked for and makes sense; else 0.
func (o options) mtu(requested []byte) int {
	const smallest = 68 // RFC 2132, 5.1
	mtu, ok := o.number(dhcp4.OptionInterfaceMTU, 2)
	if !ok || mtu < smallest || !slices.Contains(requested, byte(dhcp4.OptionInterfaceMTU)) {
		return 0
	}
	return int(mtu)
}
