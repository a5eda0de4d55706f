// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"net"
	"path/filepath"
	"strings"

	"github.com/containernetworking/plugins/pkg/conf"
)

// Config is the configuration of the host-device plugin.
type Config struct {
	conf.Common
	Device        string `json:"device,omitempty"`
	HWAddr        string `json:"hwaddr,omitempty"`
	KernelPath    string `json:"kernelpath,omitempty"`
	PCIBusID      string `json:"pciBusID,omitempty"`
	DPDKMode      bool   `json:"dpdkMode,omitempty"`
	Probe         bool   `json:"probe,omitempty"`
	RuntimeConfig struct {
		DeviceID string `json:"deviceID,omitempty"`
	} `json:"runtimeConfig"`
}

// Validate implements conf.Validator.
func (c *Config) Validate(p *conf.Problems, _ conf.EnvArgs) {
	if !c.canTellDevice() {
		p.Add("device", "missing; say which device by device, hwaddr, kernelpath or pciBusID, or have the runtime say it by the capability deviceID")
	}
	validateName(p, c.Device)
	validateAddress(p, c.HWAddr)
	if path := filepath.Clean(c.KernelPath); c.KernelPath != "" && !strings.HasPrefix(path, devicesPath) {
		p.Add("kernelpath", "%q is not the path of a device below %s", c.KernelPath, devicesPath)
	}
	validateID(p, "pciBusID", c.PCIBusID)
	validateID(p, "runtimeConfig.deviceID", c.RuntimeConfig.DeviceID)
}

// namesDevice tells whether the configuration, as the plugin got it, says which
// device to take.
func (c *Config) namesDevice() bool {
	return c.Device != "" || c.HWAddr != "" || c.KernelPath != "" || c.PCIBusID != "" || c.RuntimeConfig.DeviceID != ""
}

// canTellDevice tells whether the configuration says which device to take, or
// has the runtime say it with each ADD.
func (c *Config) canTellDevice() bool { return c.namesDevice() || c.Capabilities["deviceID"] }

// validateName notes what can be neither the name of an interface nor an
// alternative name, which may be longer.
func validateName(p *conf.Problems, name string) {
	const longest = 127 // ALTIFNAMSIZ without the terminator
	switch {
	case name == "":
	case len(name) > longest || len(name) > 15 && strings.ContainsAny(name, "/ \t\n"):
		p.Add("device", "%q can be neither the name of an interface nor an alternative name", name)
	case len(name) <= 15:
		conf.LinkName(p, "device", name)
	}
}

// validateAddress notes what is not a hardware address. Those of InfiniBand
// have 20 bytes.
func validateAddress(p *conf.Problems, text string) {
	if _, err := net.ParseMAC(text); text != "" && err != nil {
		p.Add("hwaddr", "%q is not a hardware address such as 0a:58:0a:01:02:03", text)
	}
}

// validateID notes what cannot be the name of a device in a directory of sysfs.
func validateID(p *conf.Problems, path, id string) {
	if strings.Contains(id, "/") || id == "." || id == ".." {
		p.Add(path, "%q is not the id of a device such as 0000:03:00.1", id)
	}
}
