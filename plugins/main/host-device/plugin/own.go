// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// lent returns the attachment's interface if it is in the container, or nil.
// The configuration helps to recognize one without marks.
func lent(req *plugin.Request, c *Config) (found *nic, err error) {
	err = req.InNetns(func() error {
		found, err = pick(func(l netlink.Link) *nic { return ownOf(req, c, l) })
		return err
	})
	return found, err
}

// ownOf returns l if it is the attachment's interface in the container: because
// it says so, or because what upstream's plugin left as its alias and what the
// configuration or prevResult says agree.
func ownOf(req *plugin.Request, c *Config, l netlink.Link) *nic {
	if belongsTo(req.Owner(), l) {
		return known(l)
	}
	attrs := l.Attrs()
	if attrs.Alias == "" || len(ownerComments(l)) > 0 {
		return nil
	}
	mac := attrs.HardwareAddr.String()
	_, previous := req.PrevInterface()
	switch {
	case attrs.Alias == c.Device:
	case attrs.Name != req.IfName:
		return nil
	case mac == "" || mac != conf.CanonicalMAC(c.HWAddr) && (previous == nil || mac != conf.CanonicalMAC(previous.Mac)):
		return nil
	}
	return &nic{link: l, home: home{name: attrs.Alias}}
}

// returned returns the attachment's interface if it is on the host, or nil: ADD
// or DEL did not come to an end, or the kernel brought it back as the
// container's namespace went away.
func returned(req *plugin.Request, c *Config) (*nic, error) {
	return pick(func(l netlink.Link) *nic {
		if belongsTo(req.Owner(), l) {
			return onHost(l)
		}
		if c.Device == "" || len(ownerComments(l)) > 0 {
			return nil
		}
		return stray(req, l, c.Device)
	})
}
