// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// delegation is a plugin with the configuration that it is run with.
type delegation struct {
	ipam.Delegate
	stdin  []byte
	config map[string]any // the same, decoded
	// legacy is for what was read from a record of flannel's own plugin. It is
	// doubtful if that may be of another interface of the container.
	legacy, doubtful bool
}

// newDelegation takes a configuration as it is, encoded and decoded, unless its
// delegate would call flannel for addresses, which would never end: ADD refuses that,
// and DEL and GC have the delegate go without.
func newDelegation(stdin []byte, config map[string]any) *delegation {
	if ipamPlugin(config) == self {
		remove(config, "ipam")
		if without, err := json.Marshal(config); err == nil { // as it was decoded from JSON
			stdin = without
		}
	}
	return &delegation{Delegate: ipam.NewDelegate(text(config, "type"), stdin), stdin: stdin, config: config}
}

// ipamPlugin names the plugin that the delegate calls for addresses.
func ipamPlugin(config map[string]any) string {
	addresses, _ := find(config, "ipam")
	object, _ := addresses.(map[string]any)
	return text(object, "type")
}

// locateIPAM looks for that plugin in CNI_PATH.
func (d *delegation) locateIPAM() error {
	addresses := ipam.NewDelegate(ipamPlugin(d.config), nil)
	return addresses.Locate()
}

// delegation returns what is delegated on this system, given what flanneld
// says; a nil env leaves that out.
func (c *Config) delegation(env *subnetEnv) (*delegation, error) {
	configure := c.onLinux
	if onWindows() {
		configure = c.onWindows
	}
	config, err := configure(env)
	if err != nil {
		return nil, err
	}
	return encoded(config)
}

// Delegated returns the name of the plugin that ADD runs for a configuration without a
// mistake, and what it is run with, as far as that is known without flanneld. origin
// tells where in flannel's a value of that stands.
func Delegated(data []byte) (name string, stdin []byte, origin func(path string) string, err error) {
	var c Config
	if _, err := conf.Decode(data, &c, new(conf.Problems)); err != nil {
		return "", nil, nil, err
	}
	d, err := c.delegation(nil)
	if err != nil {
		return "", nil, nil, err
	}
	if addresses, _ := d.config["ipam"].(map[string]any); text(addresses, "type") == "host-local" {
		set(addresses, "ranges", [][]map[string]string{{{"subnet": "10.244.0.0/24"}}}) // in the place of the node's
		d = d.with("ipam", addresses)
	}
	return text(d.config, "type"), d.stdin, c.origin, nil
}

// origin returns where a value of what is delegated stands in the configuration.
func (c *Config) origin(path string) string {
	key, _, _ := strings.Cut(path, ".")
	switch strings.ToLower(key) {
	case "name", "ipam":
		return path
	case "cniversion":
		if c.CNIVersion != "" {
			return path
		}
	case "runtimeconfig":
		if c.RuntimeConfig != nil {
			return path
		}
	}
	return "delegate." + path
}

// encoded is the delegation to the type that config names.
func encoded(config map[string]any) (*delegation, error) {
	stdin, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode the configuration of the delegate: %w", err)
	}
	return newDelegation(stdin, config), nil
}

// with returns the delegation with another key in its configuration.
func (d *delegation) with(key string, value any) *delegation {
	config := maps.Clone(d.config)
	set(config, key, value)
	changed, err := encoded(config)
	if err != nil { // what was decoded from JSON can be encoded
		return d
	}
	return changed
}

// withPrevious returns the delegation with the result that CHECK is about, in
// the version that it is in.
func (d *delegation) withPrevious(c *conf.Common) *delegation {
	if c.PrevResult != nil {
		d = d.with("prevResult", c.PrevResult)
	}
	if c.CNIVersion != "" {
		d = d.with("cniVersion", c.CNIVersion)
	}
	return d
}

func (d *delegation) attach(ctx context.Context) (*current.Result, error) {
	result, err := d.Attach(ctx)
	if err != nil {
		return nil, fmt.Errorf("delegate: %w", err)
	}
	return result, nil
}

// common is what a delegate's configuration begins with everywhere: what the
// user has written for it, the name, and what the runtime says.
func (c *Config) common(kind string) map[string]any {
	config := map[string]any{}
	maps.Copy(config, c.Delegate)
	config["name"] = c.Name
	if c.RuntimeConfig != nil {
		set(config, "runtimeConfig", c.RuntimeConfig)
	}
	setDefault(config, "type", kind)
	return config
}

// onLinux configures a delegate on Linux. With ipMasq, flanneld masquerades what
// leaves the network, and the delegate must not; and the other way round.
func (c *Config) onLinux(env *subnetEnv) (map[string]any, error) {
	config := c.common("bridge")
	if c.CNIVersion != "" {
		set(config, "cniVersion", c.CNIVersion)
	}
	if text(config, "type") == "bridge" {
		setDefault(config, "isGateway", true)
	}
	if env != nil {
		setDefault(config, "ipMasq", !env.ipMasq)
		setDefault(config, "mtu", env.mtu)
	}
	config["ipam"] = c.ipamOnLinux(env)
	return config, nil
}

// ipamOnLinux adds the node's subnets, as ranges, and the networks, as routes,
// to what the user has written.
func (c *Config) ipamOnLinux(env *subnetEnv) map[string]any {
	config := map[string]any{}
	maps.Copy(config, c.IPAM)
	if kind, _ := find(config, "type"); kind == nil {
		set(config, "type", "host-local")
	}
	if text(config, "type") == "host-local" {
		dropOwnRange(config)
	}
	if env == nil {
		return config
	}
	ranges, routes := []any{}, []any{}
	own, _ := find(config, "routes")
	if own, ok := own.([]any); ok {
		routes = append(routes, own...)
	}
	for _, family := range env.families() {
		ranges = append(ranges, []any{map[string]any{"subnet": family.subnet.String()}})
		for _, network := range family.networks {
			routes = append(routes, map[string]any{"dst": network.String()})
		}
	}
	set(config, "ranges", ranges)
	set(config, "routes", routes)
	return config
}

// dropOwnRange leaves the range out that host-local takes beside "ranges": the
// container would get a second address, outside the node's subnet.
func dropOwnRange(config map[string]any) {
	subnet, _ := find(config, "subnet")
	if subnet == nil {
		return
	}
	plugin.Logf("flannel", "ipam.subnet %v is ignored: addresses come from the subnet of this node", subnet)
	for _, key := range []string{"subnet", "rangeStart", "rangeEnd", "gateway"} {
		remove(config, key)
	}
}

// onWindows configures a delegate on Windows. There the delegate does the
// masquerading itself when flanneld is told to, and IPv4 is all there is.
func (c *Config) onWindows(env *subnetEnv) (map[string]any, error) {
	config := c.common("win-bridge")
	set(config, "cniVersion", cmp.Or(c.CNIVersion, "0.2.0"))
	addresses := map[string]any{"type": "host-local"}
	config["ipam"] = addresses
	if env == nil {
		return config, nil
	}
	if !env.v4.subnet.IsValid() {
		return nil, errors.New("flanneld has no IPv4 subnet for this node (FLANNEL_SUBNET), and Windows has no other networks")
	}
	addresses["subnet"] = env.v4.subnet.String()
	set(config, "ipMasq", env.ipMasq)
	set(config, "ipMasqNetwork", env.v4.networks[0].String())
	return config, nil
}

// setDefault sets a key that the user has not set, in whatever spelling.
func setDefault(config map[string]any, key string, value any) {
	if _, ok := find(config, key); !ok {
		config[key] = value
	}
}
