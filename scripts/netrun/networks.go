// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/libcni"
)

const (
	defaultBridge  = "cni0"
	defaultDataDir = "/run/cni-netrun"
)

// networks are what the command joins.
type networks struct {
	lists   []*network
	builtIn bool
}

// network is a configuration list and the name of its interface.
type network struct {
	list   *libcni.NetworkConfigList
	ifName string
}

// load reads the configurations of the directory, in the order of their names; without any it makes the built-in
// ones.
func load() (*networks, error) {
	dir := cmp.Or(os.Getenv("NETCONFPATH"), "/etc/cni/net.d")
	files, err := libcni.ConfFiles(dir, []string{".conf", ".conflist", ".json"})
	if err != nil {
		return nil, fmt.Errorf("configurations in %s: %w", dir, err)
	}
	if len(files) == 0 {
		return builtInNetworks()
	}
	found := &networks{}
	for i, file := range files {
		list, err := loadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		found.lists = append(found.lists, &network{list, "eth" + strconv.Itoa(i)})
	}
	return found, nil
}

// loadFile reads a list, or a single configuration as a list of one.
func loadFile(file string) (*libcni.NetworkConfigList, error) {
	if filepath.Ext(file) == ".conflist" {
		return libcni.ConfListFromFile(file)
	}
	conf, err := libcni.ConfFromFile(file)
	if err != nil {
		return nil, err
	}
	return libcni.ConfListFromConf(conf)
}

// builtInNetworks are the loopback and a masqueraded bridge, dual stack where the machine is.
func builtInNetworks() (*networks, error) {
	loopback, err := libcni.ConfListFromBytes([]byte(`{
		"cniVersion": "1.0.0", "name": "netrun-loopback", "plugins": [{"type": "loopback"}]}`))
	if err != nil {
		return nil, err
	}
	bridge, err := libcni.ConfListFromBytes([]byte(bridgeConfig(hasIPv6())))
	if err != nil {
		return nil, err
	}
	return &networks{builtIn: true, lists: []*network{{loopback, "lo"}, {bridge, "eth0"}}}, nil
}

func bridgeConfig(ipv6 bool) string {
	ranges := []string{`[{"subnet": "10.88.0.0/16"}]`}
	routes := []string{`{"dst": "0.0.0.0/0"}`}
	if ipv6 {
		ranges = append(ranges, `[{"subnet": "fd4e:8d1c:2c6a:88::/64"}]`)
		routes = append(routes, `{"dst": "::/0"}`)
	}
	// The leases live in /run and not in /var/lib/cni, to be removed with the last user of the bridge.
	return fmt.Sprintf(`{
		"cniVersion": "1.0.0", "name": "netrun", "plugins": [{
			"type": "bridge", "bridge": %q, "isGateway": true, "ipMasq": true,
			"ipam": {"type": "host-local", "dataDir": %q, "ranges": [%s], "routes": [%s]}
		}]}`, defaultBridge, defaultDataDir, strings.Join(ranges, ", "), strings.Join(routes, ", "))
}

// hasIPv6 is false on a kernel without IPv6, and where it has been switched off.
func hasIPv6() bool {
	for _, scope := range []string{"all", "default"} {
		disabled, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + scope + "/disable_ipv6")
		if err != nil || strings.TrimSpace(string(disabled)) != "0" {
			return false
		}
	}
	return true
}
