// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// sysfs is where the kernel describes devices, /sys; tests have their own.
type sysfs string

// devicesPath is what a kernelpath begins with.
const devicesPath = "/sys/devices/"

// locator says which device to take. The first that is set counts.
type locator struct {
	device     string
	hwaddr     string
	kernelpath string
	pci        string
	auxiliary  string
}

// locate finds out what kind of id the runtime gave, which comes before
// pciBusID.
func (root sysfs) locate(c *Config) (locator, error) {
	at := locator{device: c.Device, hwaddr: c.HWAddr, kernelpath: c.KernelPath, pci: c.PCIBusID}
	id := c.RuntimeConfig.DeviceID
	switch {
	case id == "":
		if !c.namesDevice() {
			return at, plugin.Errorf(types.ErrInvalidNetworkConfig,
				"runtimeConfig.deviceID: missing, and neither device, hwaddr, kernelpath nor pciBusID says which device to take")
		}
	case exists(root.pci(id)):
		at.pci = id
	case exists(root.auxiliary(id)):
		at.pci, at.auxiliary = "", id
	default:
		return at, fmt.Errorf("runtimeConfig.deviceID: there is no device %q, neither in %s nor in %s", id, root.pci(""), root.auxiliary(""))
	}
	return at, nil
}

func (root sysfs) pci(id string) string { return filepath.Join(string(root), "bus/pci/devices", id) }

func (root sysfs) auxiliary(id string) string {
	return filepath.Join(string(root), "bus/auxiliary/devices", id)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// isUserspace tells whether the device belongs to a program that drives it by
// itself, such as one that uses DPDK: there is no network interface to move.
// A PCI device says so by its driver, for others there is dpdkMode.
func (root sysfs) isUserspace(at locator, c *Config) bool {
	if at.pci == "" {
		return c.DPDKMode
	}
	return slices.Contains([]string{"vfio-pci", "uio_pci_generic", "igb_uio"}, root.driver(at.pci))
}

// driver returns the name of the driver of a PCI device, empty if it has none.
func (root sysfs) driver(pci string) string {
	target, err := os.Readlink(filepath.Join(root.pci(pci), "driver"))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

// find returns the network interface of the device, on the host.
func (root sysfs) find(req *plugin.Request, at locator) (*nic, error) {
	if at.device != "" {
		return findByName(req, at.device)
	}
	if at.hwaddr != "" {
		return findByAddress(at.hwaddr)
	}
	return root.findByPath(at)
}

// findByName finds an interface by its name or an alternative one, also if it
// is one that came back from a container under another name.
func findByName(req *plugin.Request, name string) (*nic, error) {
	found, err := link.Find(name)
	if err == nil {
		return called(found, name), nil
	}
	if !errors.Is(err, link.ErrNotFound) {
		return nil, fmt.Errorf("device: %w", err)
	}
	returned, err := pick(func(l netlink.Link) *nic { return stray(req, l, name) })
	if returned != nil || err != nil {
		return returned, err
	}
	return nil, fmt.Errorf("device: there is no interface %q on the host; it may be in a container: %w", name, link.ErrNotFound)
}

// called is onHost for an interface that the configuration calls name. If that is
// its present name, and neither the kernel's nor a container's, somebody has
// given it that here: it is at home.
func called(l netlink.Link, name string) *nic {
	n := onHost(l)
	if l.Attrs().Name == name && name != n.home.name && !n.hasForeignName() {
		return asItIs(l)
	}
	return n
}

// pick returns the first interface of the current namespace that choose makes
// something of, or nil.
func pick(choose func(netlink.Link) *nic) (*nic, error) {
	links, err := netlinksafe.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the links: %w", err)
	}
	for _, l := range links {
		if n := choose(l); n != nil {
			return n, nil
		}
	}
	return nil, nil
}

// stray returns l if it is an interface called name that the kernel brought
// back, under its name in the container or one that the kernel made up, when the
// container's namespace went away.
func stray(req *plugin.Request, l netlink.Link, name string) *nic {
	n, attrs := onHost(l), l.Attrs()
	switch {
	case n.marked:
		if n.home.name == name {
			return n
		}
	case attrs.Alias == name && (attrs.Name == req.IfName || isMadeUp(attrs.Name)):
		return &nic{link: l, home: home{name: name}}
	}
	return nil
}

// isMadeUp tells whether name is one that the kernel gives to an interface that
// cannot keep its own: "dev" and a number.
func isMadeUp(name string) bool {
	number, ok := strings.CutPrefix(name, "dev")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// findByAddress finds an interface by its hardware address. Interfaces on top
// of another one often share its address, so they come last.
func findByAddress(text string) (*nic, error) {
	links, err := netlinksafe.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the links: %w", err)
	}
	address, _ := net.ParseMAC(text) // Validate has seen it
	var best netlink.Link
	for _, l := range links {
		if bytes.Equal(l.Attrs().HardwareAddr, address) && (best == nil || rank(l) < rank(best)) {
			best = l
		}
	}
	if best == nil {
		return nil, fmt.Errorf("hwaddr: no interface on the host has the address %s; it may be in a container: %w", text, link.ErrNotFound)
	}
	return onHost(best), nil
}

// rank is the lower the more a link looks like hardware.
func rank(l netlink.Link) int {
	switch l.Type() {
	case "device": // no kind at all
		return 0
	case "bridge", "bond", "team", "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec":
		return 2
	}
	return 1
}

// findByPath finds the interface of a device in sysfs.
func (root sysfs) findByPath(at locator) (*nic, error) {
	key, directory := "kernelpath", filepath.Join(string(root), strings.TrimPrefix(filepath.Clean(at.kernelpath), "/sys"))
	switch {
	case at.kernelpath != "":
	case at.pci != "":
		key, directory = "pciBusID", root.pci(at.pci)
	default:
		key, directory = "runtimeConfig.deviceID", root.auxiliary(at.auxiliary)
	}
	name, err := interfaceOf(directory)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	found, err := link.Find(name)
	if err != nil {
		return nil, fmt.Errorf("%s: the interface of %s: %w", key, directory, err)
	}
	return onHost(found), nil
}

// interfaceOf returns the name of the first network interface of the device
// that a directory of sysfs describes. One of virtio stands between a PCI device
// and its interface.
func interfaceOf(directory string) (string, error) {
	candidates := []string{filepath.Join(directory, "net")}
	below, err := filepath.Glob(filepath.Join(directory, "virtio*", "net"))
	if err != nil {
		return "", err
	}
	for _, candidate := range append(candidates, below...) {
		entries, err := os.ReadDir(candidate)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if len(entries) > 0 {
			return entries[0].Name(), nil
		}
	}
	return "", noInterface(directory)
}

// noInterface says why a device has no network interface.
func noInterface(directory string) error {
	if !exists(directory) {
		return fmt.Errorf("there is no device %s", directory)
	}
	if !exists(filepath.Join(directory, "driver")) {
		return fmt.Errorf("%s has no network interface, since no driver is bound to it", directory)
	}
	return fmt.Errorf("%s has no network interface; it may be in a container: %w", directory, link.ErrNotFound)
}

// pciID returns the PCI address of an interface, empty if it has none.
func (root sysfs) pciID(name string) string {
	device := filepath.Join(string(root), "class/net", name, "device")
	if !exists(device) {
		return "" // with one call to the kernel rather than one for each directory
	}
	device, err := filepath.EvalSymlinks(device)
	if err != nil {
		return ""
	}
	for _, directory := range []string{device, filepath.Dir(device)} {
		if id := filepath.Base(directory); exists(root.pci(id)) {
			return id
		}
	}
	return ""
}
