// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"cmp"
	"encoding/json"
	"maps"
	"runtime"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/conf"
)

const (
	self = "flannel" // the plugin's name

	defaultSubnetFile = "/run/flannel/subnet.env"
	defaultDataDir    = "/var/lib/cni/flannel"
)

// Config is the configuration of the flannel plugin.
type Config struct {
	conf.Common
	SubnetFile    string         `json:"subnetFile"`
	DataDir       string         `json:"dataDir"`
	Delegate      map[string]any `json:"delegate"`
	IPAM          map[string]any `json:"ipam"`
	RuntimeConfig map[string]any `json:"runtimeConfig"`
}

func (c *Config) subnetFile() string { return cmp.Or(c.SubnetFile, defaultSubnetFile) }

func (c *Config) dataDir() string { return cmp.Or(c.DataDir, defaultDataDir) }

// Validate implements conf.Validator. What the delegate makes of the rest it
// will say itself.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	for _, key := range []string{"name", "ipam"} {
		if _, ok := find(c.Delegate, key); ok {
			p.Add("delegate."+key, "is set by flannel, leave it out")
		}
	}
	kind, ok := find(c.Delegate, "type")
	switch name, isString := kind.(string); {
	case ok && (!isString || name == ""):
		p.Add("delegate.type", "the name of a plugin is expected, such as bridge")
	case name == self:
		p.Add("delegate.type", "flannel cannot delegate to itself")
	}
	c.validateIPAM(p)
}

// validateIPAM looks at those parts of "ipam" that flannel adds to.
func (c *Config) validateIPAM(p *conf.Problems) {
	var parts struct {
		IPAM struct {
			Type   string         `json:"type"`
			Routes []*types.Route `json:"routes"`
		} `json:"ipam"`
	}
	data, err := json.Marshal(map[string]any{"ipam": c.IPAM})
	if err != nil {
		p.Add("ipam", "%v", err)
		return
	}
	_, _ = conf.Decode(data, &parts, p) // that it is an object has just been seen to
	if parts.IPAM.Type == self && !onWindows() {
		p.Add("ipam.type", "flannel is no IPAM plugin; name the one that assigns addresses, such as host-local")
	}
}

// find looks a key up as decoders do: in its own spelling, or else regardless
// of case.
func find(object map[string]any, key string) (any, bool) {
	if value, ok := object[key]; ok {
		return value, true
	}
	for name, value := range object {
		if strings.EqualFold(name, key) {
			return value, true
		}
	}
	return nil, false
}

// set sets a key in place of whatever spellings of it there are: a decoder could
// take any of two.
func set(object map[string]any, key string, value any) {
	remove(object, key)
	object[key] = value
}

// remove removes a key in all spellings.
func remove(object map[string]any, key string) {
	maps.DeleteFunc(object, func(name string, _ any) bool { return strings.EqualFold(name, key) })
}

// text is the string that a key has for a value, or "".
func text(object map[string]any, key string) string {
	value, _ := find(object, key)
	text, _ := value.(string)
	return text
}

// onWindows tells which delegate is the usual one, and how it is configured.
func onWindows() bool { return runtime.GOOS == "windows" }
