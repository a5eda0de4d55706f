// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

// versions are all of the specification; "" is a configuration that names none.
var versions = []string{"", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// cnitool is the tool with its surroundings.
type cnitool struct {
	dir string
	env []string
}

func newCnitool(t testing.TB, list []byte) *cnitool {
	t.Helper()
	dir := confDir(t, list)
	return &cnitool{dir, []string{"NETCONFPATH=" + dir, "CNI_PATH=" + pluginDir(t)}}
}

// do runs a command of cnitool on the network "e2e"; it must succeed.
func (c *cnitool) do(t testing.TB, command, netns string) string {
	t.Helper()
	out, err := c.try(command, netns)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *cnitool) try(command, netns string) (string, error) {
	return attemptWith(c.env, program("cnitool"), command, "e2e", netns)
}

// attachment is one of the networks cnitool is tried with.
type attachment struct {
	plugin  object
	bridges []string
	ifName  string   // that the plugin makes, to be gone afterwards
	subnets []string // an address of each must be there
	spoil   []string // command in the container's namespace that CHECK must notice
}

func attachments() map[string]attachment {
	dual := []string{"10.71.0.0/24", "fd71::/64"}
	flush := []string{"ip", "addr", "flush", "dev", "eth0", "scope", "global"}
	return map[string]attachment{
		"bridge with host-local": {bridgePlugin("e2e0", hostLocal(dual...)), []string{"e2e0"}, "eth0", dual, flush},
		"ptp with host-local":    {object{"type": "ptp", "ipMasq": true, "ipam": hostLocal(dual...)}, nil, "eth0", dual, flush},
		"bridge with static": {bridgePlugin("e2e0", object{"type": "static", "addresses": []any{
			object{"address": "10.71.0.9/24", "gateway": "10.71.0.1"}, object{"address": "fd71::9/64", "gateway": "fd71::1"},
		}}), []string{"e2e0"}, "eth0", dual, flush},
		"loopback": {object{"type": "loopback"}, nil, "", nil, []string{"ip", "link", "set", "lo", "down"}},
	}
}

func TestCnitool(t *testing.T) {
	for name, network := range attachments() {
		for _, version := range versions {
			t.Run(name+" "+version, func(t *testing.T) { network.roundTrip(t, version) })
		}
	}
}

// roundTrip adds, checks, spoils, checks again, and deletes twice.
func (a attachment) roundTrip(t *testing.T, version string) {
	leaveNothing(t, a.bridges...)
	tool := newCnitool(t, confList(t, "e2e", version, a.plugin))
	netns := newNetns(t, "e2e-cnitool")

	result := tool.do(t, "add", netns)
	expectVersion(t, result, version)
	a.expectAttached(t, netns, result)

	// CHECK came with 0.4.0; the library refuses it for older configurations.
	if version >= "0.4.0" {
		tool.do(t, "check", netns)
	}
	run(t, "nsenter", append([]string{"--net=" + netns}, a.spoil...)...)
	if version >= "0.4.0" {
		if out, err := tool.try("check", netns); err == nil {
			t.Errorf("check does not notice %v: %s", a.spoil, out)
		}
	}
	tool.do(t, "del", netns)
	if a.ifName != "" && hasInterface(netns, a.ifName) {
		t.Errorf("%s is still there after del", a.ifName)
	}
	tool.do(t, "del", netns)
}

// expectAttached looks for the addresses in the result and in the kernel, and for the gateway in the network.
func (a attachment) expectAttached(t *testing.T, netns, result string) {
	t.Helper()
	if a.ifName == "" {
		expectPing(t, netns, netip.MustParseAddr("127.0.0.1"))
		return
	}
	found := addresses(t, netns, a.ifName)
	if len(found) != len(a.subnets) {
		t.Errorf("addresses %v, want one in each of %v", found, a.subnets)
	}
	for _, subnet := range a.subnets {
		addr := within(t, found, subnet)
		if !strings.Contains(result, addr.String()) {
			t.Errorf("the result does not name %s: %s", addr, result)
		}
		expectPing(t, netns, netip.MustParsePrefix(subnet).Addr().Next())
	}
}

// expectVersion checks the shape of the result: ip4 and ip6 until 0.2.0, ips with their version until 0.4.0.
func expectVersion(t *testing.T, text, version string) {
	t.Helper()
	var result struct {
		CNIVersion string
		IP4, IP6   *object
		IPs        []object
	}
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		t.Fatalf("result: %v\n%s", err, text)
	}
	if version == "" {
		version = "0.1.0"
	}
	if result.CNIVersion != version {
		t.Errorf("result of version %q, want %q", result.CNIVersion, version)
	}
	old := version < "0.3.0"
	if old && len(result.IPs) > 0 || !old && (result.IP4 != nil || result.IP6 != nil) {
		t.Errorf("result has the wrong shape for %s: %s", version, text)
	}
	for _, ip := range result.IPs {
		if _, named := ip["version"]; named != (version < "1.0.0") {
			t.Errorf("result has the wrong shape of addresses for %s: %s", version, text)
		}
	}
}

func TestCnitoolStatus(t *testing.T) {
	for name, network := range attachments() {
		t.Run(name, func(t *testing.T) {
			leaveNothing(t)
			tool := newCnitool(t, confList(t, "e2e", "1.1.0", network.plugin))
			tool.do(t, "status", newNetns(t, "e2e-status"))
		})
	}
}

func TestCnitoolStatusOfMissingIPAM(t *testing.T) {
	leaveNothing(t)
	tool := newCnitool(t, confList(t, "e2e", "1.1.0", bridgePlugin("e2e0", object{"type": "no-such-ipam"})))
	if out, err := tool.try("status", newNetns(t, "e2e-status")); err == nil {
		t.Errorf("status is fine without the IPAM plugin: %s", out)
	}
}

// TestCnitoolGC forgets the library's results first: what it would delete itself is then left for the plugins.
func TestCnitoolGC(t *testing.T) {
	for name, network := range attachments() {
		t.Run(name, func(t *testing.T) {
			leaveNothing(t, network.bridges...)
			tool := newCnitool(t, confList(t, "e2e", "1.1.0", network.plugin))
			before := ownedByAttachments(t)
			netns := newNetns(t, "e2e-gc")
			tool.do(t, "add", netns)
			if err := os.RemoveAll("/var/lib/cni/results"); err != nil {
				t.Fatal(err)
			}
			tool.do(t, "gc", netns)
			if after := ownedByAttachments(t); !slices.Equal(before, after) {
				t.Errorf("after gc there is %q, want %q", after, before)
			}
			tool.do(t, "del", netns)
		})
	}
}

// ownedByAttachments is the host's state without its links, which go with the container's namespace.
func ownedByAttachments(t testing.TB) []string {
	t.Helper()
	return slices.DeleteFunc(hostState(t), func(line string) bool { return strings.HasPrefix(line, "link ") })
}
