// SPDX-License-Identifier: Apache-2.0

//go:build linux

package presubmit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
	dhcp "github.com/containernetworking/plugins/plugins/ipam/dhcp/plugin"
	hostlocal "github.com/containernetworking/plugins/plugins/ipam/host-local/plugin"
	static "github.com/containernetworking/plugins/plugins/ipam/static/plugin"
	bridge "github.com/containernetworking/plugins/plugins/main/bridge/plugin"
	dummy "github.com/containernetworking/plugins/plugins/main/dummy/plugin"
	hostdevice "github.com/containernetworking/plugins/plugins/main/host-device/plugin"
	ipvlan "github.com/containernetworking/plugins/plugins/main/ipvlan/plugin"
	loopback "github.com/containernetworking/plugins/plugins/main/loopback/plugin"
	macvlan "github.com/containernetworking/plugins/plugins/main/macvlan/plugin"
	ptp "github.com/containernetworking/plugins/plugins/main/ptp/plugin"
	tap "github.com/containernetworking/plugins/plugins/main/tap/plugin"
	vlan "github.com/containernetworking/plugins/plugins/main/vlan/plugin"
	winbridge "github.com/containernetworking/plugins/plugins/main/windows/win-bridge/plugin"
	winoverlay "github.com/containernetworking/plugins/plugins/main/windows/win-overlay/plugin"
	bandwidth "github.com/containernetworking/plugins/plugins/meta/bandwidth/plugin"
	firewall "github.com/containernetworking/plugins/plugins/meta/firewall/plugin"
	flannel "github.com/containernetworking/plugins/plugins/meta/flannel/plugin"
	portmap "github.com/containernetworking/plugins/plugins/meta/portmap/plugin"
	sbr "github.com/containernetworking/plugins/plugins/meta/sbr/plugin"
	tuning "github.com/containernetworking/plugins/plugins/meta/tuning/plugin"
	vrf "github.com/containernetworking/plugins/plugins/meta/vrf/plugin"
)

// entry is a plugin with its configuration.
type entry struct {
	plugin plugin.Plugin
	config any
}

// plugins are all plugins, by directory.
func plugins() map[string]entry {
	return map[string]entry{
		"plugins/ipam/dhcp":        {dhcp.Plugin, dhcp.Config{}},
		"plugins/ipam/host-local":  {hostlocal.Plugin, hostlocal.Config{}},
		"plugins/ipam/static":      {static.Plugin, static.Config{}},
		"plugins/main/bridge":      {bridge.Plugin, bridge.Config{}},
		"plugins/main/host-device": {hostdevice.Plugin, hostdevice.Config{}},
		"plugins/main/loopback":    {loopback.Plugin, loopback.Config{}},
		"plugins/main/dummy":       {dummy.Plugin, dummy.Config{}},
		"plugins/main/ipvlan":      {ipvlan.Plugin, ipvlan.Config{}},
		"plugins/main/vlan":        {vlan.Plugin, vlan.Config{}},
		"plugins/main/macvlan":     {macvlan.Plugin, macvlan.Config{}},
		"plugins/main/ptp":         {ptp.Plugin, ptp.Config{}},
		"plugins/main/tap":         {tap.Plugin, tap.Config{}},
		"plugins/meta/bandwidth":   {bandwidth.Plugin, bandwidth.Config{}},
		"plugins/meta/flannel":     {flannel.Plugin, flannel.Config{}},
		"plugins/meta/firewall":    {firewall.Plugin, firewall.Config{}},
		"plugins/meta/portmap":     {portmap.Plugin, portmap.Config{}},
		"plugins/meta/sbr":         {sbr.Plugin, sbr.Config{}},
		"plugins/meta/tuning":      {tuning.Plugin, tuning.Config{}},
		"plugins/meta/vrf":         {vrf.Plugin, vrf.Config{}},

		"plugins/main/windows/win-bridge":  {winbridge.Plugin, winbridge.Config{}},
		"plugins/main/windows/win-overlay": {winoverlay.Plugin, winoverlay.Config{}},
	}
}

func TestPlugins(t *testing.T) {
	for _, dir := range pluginDirs(t) {
		listed, ok := plugins()[dir]
		if !ok {
			t.Errorf("%s: add it to plugins() in examples_test.go, so that its README is checked", dir)
		} else if listed.plugin.Name != path.Base(dir) {
			t.Errorf("%s: the plugin calls itself %q, but the executable has the name of the directory", dir, listed.plugin.Name)
		}
	}
}

// TestReadmes wants the same headings in every plugin's README: people look
// things up in them at night.
func TestReadmes(t *testing.T) {
	for _, doc := range documents(t) {
		if pluginOf(path.Dir(doc.path)) == "" || path.Base(doc.path) != "README.md" {
			continue
		}
		if missing := missingHeadings(doc); len(missing) > 0 {
			t.Errorf("%s: lacks the headings %q, or they are out of order", doc.path, missing)
		}
	}
}

// missingHeadings returns the headings that a plugin's README lacks, or has out
// of order. It may have others.
func missingHeadings(doc document) []string {
	missing := []string{"Name", "Description", "Example", "Configuration", "Result", "What DEL and GC remove"}
	for _, heading := range doc.headings {
		if len(missing) > 0 && heading == missing[0] {
			missing = missing[1:]
		}
	}
	return missing
}

func TestMissingHeadings(t *testing.T) {
	complete := []string{"Name", "Description", "Example", "Configuration", "More", "Result", "What DEL and GC remove"}
	swapped := []string{"Name", "Example", "Description", "Configuration", "Result", "What DEL and GC remove"}
	if missing := missingHeadings(document{headings: complete}); len(missing) != 0 {
		t.Errorf("%q are said to lack %q", complete, missing)
	}
	if missing := missingHeadings(document{headings: swapped}); len(missing) == 0 {
		t.Errorf("%q are said to be in order", swapped)
	}
}

// TestReadmesNameKeys wants every key of a configuration to be in the README: a
// key that nobody can find out about might as well not exist.
func TestReadmesNameKeys(t *testing.T) {
	for _, doc := range documents(t) {
		listed, ok := plugins()[path.Dir(doc.path)]
		if !ok || path.Base(doc.path) != "README.md" {
			continue
		}
		for _, key := range keysOf(reflect.TypeOf(listed.config)) {
			if !slices.Contains(doc.code, key) {
				t.Errorf("%s: says nothing about the key `%s`", doc.path, key)
			}
		}
	}
}

// keysOf returns the keys that a configuration takes by itself: not those that
// all have in common, nor those inside types of other modules, nor those of type
// any, which are tolerated for the sake of old configurations and not used.
func keysOf(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return keysOf(t.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	if t == reflect.TypeFor[conf.Common]() || t.Name() != "" && !strings.HasPrefix(t.PkgPath(), module) {
		return nil
	}
	var keys []string
	for i := range t.NumField() {
		field := t.Field(i)
		if key, _, _ := strings.Cut(field.Tag.Get("json"), ","); key != "" && field.Type != reflect.TypeFor[any]() {
			keys = append(keys, key)
		}
		if field.IsExported() {
			keys = append(keys, keysOf(field.Type)...)
		}
	}
	return keys
}

func TestKeysOf(t *testing.T) {
	got := keysOf(reflect.TypeFor[struct {
		conf.Common
		conf.MACSettings
		VLANs  []struct{ *bridge.TrunkItem } `json:"vlans,omitempty"`
		Routes []types.Route                 `json:"routes"`
		Old    any                           `json:"old"`
		hidden struct {
			Key int `json:"key"`
		}
	}]())
	want := []string{"mac", "args", "cni", "mac", "runtimeConfig", "mac", "vlans", "minID", "maxID", "id", "routes"}
	if !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
}

// TestExamples decodes every JSON example with the plugin it is for, as its
// author would want it checked: readers copy them.
func TestExamples(t *testing.T) {
	for _, doc := range documents(t) {
		subject := ""
		if dir := pluginOf(path.Dir(doc.path)); dir != "" {
			subject = path.Base(dir)
		}
		for _, block := range doc.blocks {
			if block.language != "json" {
				continue
			}
			if err := checkExample(block, subject); err != nil {
				t.Errorf("%s:%d: %v", doc.path, block.line, err)
			}
		}
	}
}

// checkExample checks one block. subject is the plugin that the document is
// about, which the block has to be about, too; "" means any.
func checkExample(b block, subject string) error {
	if subject != "" && b.heading == "Result" {
		return checkResult([]byte(b.text))
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(b.text), &object); err != nil {
		return fmt.Errorf("the block is no JSON object: %w", err)
	}
	configurations := []map[string]any{object}
	if object["plugins"] != nil {
		if _, err := libcni.ConfListFromBytes([]byte(b.text)); err != nil {
			return err
		}
		configurations = entries(object)
	}
	about := subject == ""
	var errs []error
	for _, configuration := range configurations {
		for _, name := range []string{typeOf(configuration), typeOf(configuration["ipam"])} {
			about = about || name == subject
			errs = append(errs, lint(name, configuration))
		}
	}
	if !about {
		errs = append(errs, fmt.Errorf("the example does not use %s", subject))
	}
	return errors.Join(errs...)
}

// entries returns the configurations that the plugins of a list get.
func entries(list map[string]any) []map[string]any {
	var configurations []map[string]any
	for _, entry := range list["plugins"].([]any) {
		configuration := entry.(map[string]any)
		configuration["name"], configuration["cniVersion"] = list["name"], list["cniVersion"]
		configurations = append(configurations, configuration)
	}
	return configurations
}

func typeOf(object any) string {
	fields, _ := object.(map[string]any)
	name, _ := fields["type"].(string)
	return name
}

// lint checks a configuration with the plugin of that name, if it is ours.
func lint(name string, configuration map[string]any) error {
	for dir, listed := range plugins() {
		if path.Base(dir) != name {
			continue
		}
		data, err := json.Marshal(configuration)
		if err != nil {
			return err
		}
		return listed.plugin.Lint(data)
	}
	return nil
}

// checkResult wants a result of the current version, without unknown keys.
func checkResult(data []byte) error {
	result, err := current.NewResult(data)
	if err != nil {
		return fmt.Errorf("the block is no result: %w", err)
	}
	printed, err := json.Marshal(result)
	if err != nil {
		return err
	}
	if want, got := normal(data), normal(printed); want != got {
		return fmt.Errorf("the result has keys or values that a result has not:\n%s\nwould be printed as\n%s", want, got)
	}
	return nil
}

// normal writes JSON in one way.
func normal(data []byte) string {
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return err.Error()
	}
	text, _ := json.MarshalIndent(value, "", "  ")
	return string(bytes.TrimSpace(text))
}

func TestCheckExample(t *testing.T) {
	list := `{"cniVersion": "1.1.0", "name": "n", "plugins": [{"type": "bridge", %s}]}`
	result := `{"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", %s}]}`
	for _, test := range []struct{ name, heading, text, subject, complaint string }{
		{"a list", "Example", fmt.Sprintf(list, `"mtu": 1400`), "bridge", ""},
		{"a key that is none", "Example", fmt.Sprintf(list, `"mtuu": 1400`), "bridge", "mtuu"},
		{"a value out of range", "Example", fmt.Sprintf(list, `"vlan": 5000`), "bridge", "5000"},
		{"no name", "Example", `{"cniVersion": "1.1.0", "plugins": [{"type": "bridge"}]}`, "bridge", "name"},
		{"another plugin", "Example", fmt.Sprintf(list, `"mtu": 1400`), "ptp", "does not use ptp"},
		{"no JSON", "Example", `{"type": "bridge",}`, "bridge", "no JSON"},
		{"a bad ipam", "Example", `{"type": "bridge", "ipam": {"type": "host-local", "subnett": "10.1.0.0/16"}}`, "bridge", "subnett"},
		{"not about a plugin", "Errors", `{"code": 7}`, "", ""},
		{"a result", "Result", fmt.Sprintf(result, `"mac": "0a:58:0a:01:00:05"`), "bridge", ""},
		{"no result", "Result", fmt.Sprintf(result, `"hwaddr": "0a:58:0a:01:00:05"`), "bridge", "hwaddr"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := checkExample(block{text: test.text, heading: test.heading}, test.subject)
			if (err == nil) != (test.complaint == "") || err != nil && !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("got %v, want %q", err, test.complaint)
			}
		})
	}
}
