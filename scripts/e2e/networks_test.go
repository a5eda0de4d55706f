// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// object is a piece of JSON.
type object = map[string]any

// hostLocal allocates from the subnets and routes everything through them.
func hostLocal(subnets ...string) object {
	var ranges, routes []any
	for _, subnet := range subnets {
		ranges = append(ranges, []any{object{"subnet": subnet}})
		route := "0.0.0.0/0"
		if netip.MustParsePrefix(subnet).Addr().Is6() {
			route = "::/0"
		}
		routes = append(routes, object{"dst": route})
	}
	return object{"type": "host-local", "ranges": ranges, "routes": routes}
}

// bridgePlugin is a masquerading gateway.
func bridgePlugin(bridge string, ipam object) object {
	return object{"type": "bridge", "bridge": bridge, "isGateway": true, "ipMasq": true, "ipam": ipam}
}

// confList is a list of plugins; an empty version leaves the key out.
func confList(t testing.TB, name, version string, plugins ...object) []byte {
	t.Helper()
	list := object{"name": name, "plugins": plugins}
	if version != "" {
		list["cniVersion"] = version
	}
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// confDir is a directory with the lists, in their order.
func confDir(t testing.TB, lists ...[]byte) string {
	t.Helper()
	dir := t.TempDir()
	for i, list := range lists {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d-e2e.conflist", i)), list, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// chain is a plugin and after it the usual ones that are built: portmap, firewall, tuning.
func chain(t testing.TB, first object) []object {
	t.Helper()
	plugins := []object{first}
	for _, next := range []object{
		{"type": "portmap", "capabilities": object{"portMappings": true}},
		{"type": "firewall"},
		{"type": "tuning"},
	} {
		if hasPlugin(t, next["type"].(string)) {
			plugins = append(plugins, next)
		}
	}
	return plugins
}

// hasPlugin is true for what the directory under test holds; not every build has every plugin.
func hasPlugin(t testing.TB, name string) bool {
	t.Helper()
	_, err := os.Stat(filepath.Join(pluginDir(t), name))
	return err == nil
}

// within finds the address that lies in the subnet.
func within(t testing.TB, addrs []netip.Prefix, subnet string) netip.Addr {
	t.Helper()
	for _, addr := range addrs {
		if netip.MustParsePrefix(subnet).Contains(addr.Addr()) {
			return addr.Addr()
		}
	}
	t.Fatalf("none of %v lies in %s", addrs, subnet)
	return netip.Addr{}
}
