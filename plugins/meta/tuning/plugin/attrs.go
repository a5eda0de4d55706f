// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Keys of attributes, in configurations and in files of originals.
const (
	macKey      = "mac"
	promiscKey  = "promisc"
	mtuKey      = "mtu"
	allMultiKey = "allmulti"
	txQLenKey   = "txQLen"
)

// attributeValues are values of attributes by their keys.
type attributeValues map[string]any

// attribute is something about the interface that can be tuned. Values of an
// attribute have one type and can be compared.
type attribute struct {
	key    string
	get    func(*netlink.LinkAttrs) any
	set    func(netlink.Link, any) error
	decode func(json.RawMessage) (any, error)
}

// attributes are all there are, in the order in which they are set.
func attributes() []attribute {
	return []attribute{
		define(macKey, func(attrs *netlink.LinkAttrs) string { return attrs.HardwareAddr.String() }, setMAC),
		define(promiscKey, hasFlag(unix.IFF_PROMISC), either(netlink.SetPromiscOn, netlink.SetPromiscOff)),
		define(mtuKey, func(attrs *netlink.LinkAttrs) int { return attrs.MTU }, netlink.LinkSetMTU),
		define(allMultiKey, hasFlag(unix.IFF_ALLMULTI), either(netlink.LinkSetAllmulticastOn, netlink.LinkSetAllmulticastOff)),
		define(txQLenKey, func(attrs *netlink.LinkAttrs) int { return attrs.TxQLen }, netlink.LinkSetTxQLen),
	}
}

func define[T any](key string, get func(*netlink.LinkAttrs) T, set func(netlink.Link, T) error) attribute {
	return attribute{
		key: key,
		get: func(attrs *netlink.LinkAttrs) any { return get(attrs) },
		set: func(l netlink.Link, value any) error {
			if err := set(l, value.(T)); err != nil {
				return fmt.Errorf("set %s of %s to %v: %w", key, l.Attrs().Name, value, err)
			}
			return nil
		},
		decode: func(data json.RawMessage) (any, error) {
			var value T
			err := json.Unmarshal(data, &value)
			return value, err
		},
	}
}

func setMAC(l netlink.Link, text string) error {
	mac, err := net.ParseMAC(text)
	if err != nil {
		return err
	}
	return netlink.LinkSetHardwareAddr(l, mac)
}

// hasFlag asks for what somebody has set: the kernel counts a bridge or a
// capture, which want the same, apart from that.
func hasFlag(flag uint32) func(*netlink.LinkAttrs) bool {
	return func(attrs *netlink.LinkAttrs) bool { return attrs.RawFlags&flag != 0 }
}

func either(on, off func(netlink.Link) error) func(netlink.Link, bool) error {
	return func(l netlink.Link, value bool) error {
		if value {
			return on(l)
		}
		return off(l)
	}
}

// setAttributes notes what the attributes are and sets them.
func setAttributes(req *plugin.Request, dataDir string, wanted attributeValues) error {
	if len(wanted) == 0 {
		return nil
	}
	l, err := findInterface(req)
	if err != nil {
		return err
	}
	if err := save(req, dataDir, l, wanted); err != nil {
		return err
	}
	return req.InNetns(func() error {
		for _, attr := range attributes() {
			value, ok := wanted[attr.key]
			if !ok {
				continue
			}
			if err := attr.set(l, value); err != nil {
				return err
			}
			req.Undo.Push(attr.key, func() error {
				return req.InNetns(func() error { return attr.set(l, attr.get(l.Attrs())) })
			})
		}
		return nil
	})
}

func findInterface(req *plugin.Request) (l netlink.Link, err error) {
	err = req.InNetns(func() error {
		l, err = link.Find(req.IfName)
		return err
	})
	return l, err
}

// restore gives the interface back what is in the file, if it still is the same
// interface.
func restore(req *plugin.Request, file backup) error {
	saved, err := file.read()
	if err != nil {
		return ignoreAbsent(err)
	}
	l, err := findAgain(req, saved)
	if l == nil || err != nil {
		return err
	}
	return req.InNetns(func() error { return setAll(l, saved.values) })
}

// findAgain returns the interface whose originals were saved, whatever the
// container calls it by now, or nil.
func findAgain(req *plugin.Request, saved originals) (netlink.Link, error) {
	l, err := findInterface(req)
	if err == nil && l != nil && !saved.areOf(req, l) || errors.Is(err, link.ErrNotFound) {
		l, err = findRenamed(req, saved)
	}
	if errors.Is(err, link.ErrNotFound) {
		return nil, nil
	}
	return l, err
}

func findRenamed(req *plugin.Request, saved originals) (l netlink.Link, err error) {
	index := saved.indexIn(req)
	if index == 0 {
		return nil, nil
	}
	err = req.InNetns(func() error {
		l, err = link.FindByIndex(index)
		return err
	})
	return l, err
}

// setAll sets as many of the values as the interface takes.
func setAll(l netlink.Link, values attributeValues) error {
	var errs []error
	for _, attr := range attributes() {
		if value, ok := values[attr.key]; ok {
			errs = append(errs, attr.set(l, value))
		}
	}
	return errors.Join(errs...)
}

func checkAttributes(report *check.Report, ifName string, wanted attributeValues) {
	l := report.Link(&current.Interface{Name: ifName}, "")
	if l == nil {
		return
	}
	for _, attr := range attributes() {
		if value, ok := wanted[attr.key]; ok {
			report.Equal(ifName, attr.key, value, attr.get(l.Attrs()))
		}
	}
}

// describe puts into the result what has changed about the interface: into all
// entries with its name, since a sandbox can be written in several ways, or left out.
// Beside one with a sandbox, one without is the host's.
func describe(req *plugin.Request, wanted attributeValues) {
	_, inSandbox := req.PrevInterface()
	for _, iface := range req.Prev.Interfaces {
		if iface.Name != req.IfName || iface.Sandbox == "" && inSandbox != nil {
			continue
		}
		if mac, ok := wanted[macKey]; ok {
			iface.Mac = mac.(string)
		}
		if mtu, ok := wanted[mtuKey]; ok {
			iface.Mtu = mtu.(int)
		}
	}
}
