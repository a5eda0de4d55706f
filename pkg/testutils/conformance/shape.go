// SPDX-License-Identifier: Apache-2.0

//go:build linux

package conformance

import (
	"fmt"
	"net"
	"slices"

	"github.com/containernetworking/plugins/pkg/testutils"
)

// shapeProblems lists what is wrong with the form of a result: every version of
// the specification has its own.
func shapeProblems(version string, result Object) []string {
	var s shape
	said := version
	if version == "" {
		version, said = "0.1.0", "0.1.0"
	}
	s.expect(result["cniVersion"] == said, "cniVersion is %v, the configuration's is %s", result["cniVersion"], said)
	if !testutils.SpecVersionHasMultipleIPs(version) {
		s.keys("", result, "cniVersion", "ip4", "ip6", "dns")
		s.family("ip4", result["ip4"])
		s.family("ip6", result["ip6"])
		return s.problems
	}
	s.keys("", result, "cniVersion", "interfaces", "ips", "routes", "dns")
	interfaces := s.list("interfaces", result["interfaces"])
	for i, entry := range interfaces {
		s.iface(fmt.Sprintf("interfaces[%d]", i), entry, version)
	}
	for i, entry := range s.list("ips", result["ips"]) {
		s.ip(fmt.Sprintf("ips[%d]", i), entry, version, len(interfaces))
	}
	for i, entry := range s.list("routes", result["routes"]) {
		s.keys(fmt.Sprintf("routes[%d]", i), entry, "dst", "gw", "mtu", "advmss", "priority", "table", "scope")
	}
	return s.problems
}

type shape struct{ problems []string }

func (s *shape) expect(ok bool, format string, args ...any) {
	if !ok {
		s.problems = append(s.problems, fmt.Sprintf(format, args...))
	}
}

// keys expects no others than the allowed ones.
func (s *shape) keys(path string, o Object, allowed ...string) {
	for key := range o {
		s.expect(slices.Contains(allowed, key), "%s has the key %q", path, key)
	}
}

func (s *shape) list(path string, value any) []Object {
	entries, ok := value.([]any)
	s.expect(ok || value == nil, "%s is %T", path, value)
	var list []Object
	for i, entry := range entries {
		o, ok := entry.(Object)
		s.expect(ok, "%s[%d] is %T", path, i, entry)
		list = append(list, o)
	}
	return list
}

// family is the address of one family, as it was before 0.3.0.
func (s *shape) family(path string, value any) {
	if value == nil {
		return
	}
	o, ok := value.(Object)
	s.expect(ok, "%s is %T", path, value)
	s.keys(path, o, "ip", "gateway", "routes")
	s.cidr(path+".ip", o["ip"])
}

func (s *shape) iface(path string, o Object, version string) {
	allowed := []string{"name", "mac", "sandbox"}
	if version == "1.0.0" || version == "1.1.0" { // which the library does not tell apart
		allowed = append(allowed, "mtu", "socketPath", "pciID")
	}
	s.keys(path, o, allowed...)
	s.expect(o["name"] != nil && o["name"] != "", "%s has no name", path)
	if version == "1.1.0" && o["mac"] != nil {
		mtu, ok := o["mtu"].(float64)
		s.expect(ok && mtu > 0, "%s has no mtu", path)
	}
}

func (s *shape) ip(path string, o Object, version string, interfaces int) {
	allowed := []string{"address", "gateway", "interface"}
	if testutils.SpecVersionHasIPVersion(version) {
		allowed = append(allowed, "version")
		s.expect(o["version"] == "4" || o["version"] == "6", "%s.version is %v", path, o["version"])
	}
	s.keys(path, o, allowed...)
	s.cidr(path+".address", o["address"])
	if index, ok := o["interface"].(float64); ok {
		s.expect(index >= 0 && int(index) < interfaces, "%s.interface is %v of %d", path, index, interfaces)
	}
}

func (s *shape) cidr(path string, value any) {
	text, _ := value.(string)
	_, _, err := net.ParseCIDR(text)
	s.expect(err == nil, "%s is %v, an address with prefix length is expected", path, value)
}
