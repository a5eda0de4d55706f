// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// lent returns the attachment's interface if it is in the container, or nil.
// The configuration helps to recognize one without marks, and the record one from
// which the container has removed everything.
func lent(req *plugin.Request, c *Config) (found *nic, err error) {
	recorded, records := keptHere(req), store().Pinned()
	err = req.InNetns(func() error {
		found, err = recorded.pick(func(l netlink.Link) *nic { return ownOf(req, c, l, recorded, records) })
		return err
	})
	if found != nil || err != nil || recorded == nil {
		return found, err
	}
	err = req.InNetns(func() error {
		found, err = recorded.find(req.IfName)
		return err
	})
	return recorded.unlessSuperseded(found), err
}

// pick is pick, but for interfaces that cannot be the one of the loan, which may be
// nil.
func (l *loan) pick(choose func(netlink.Link) *nic) (*nic, error) {
	v := &view{}
	defer v.close()
	return pick(func(candidate netlink.Link) *nic {
		n := choose(candidate)
		if n != nil && l != nil && l.id.compare(v, candidate) == another {
			return nil
		}
		return n
	})
}

// find returns the interface of the loan if it is certain which one of the current
// namespace that is, or nil.
func (l *loan) find(ifName string) (*nic, error) {
	v := &view{}
	defer v.close()
	return pick(func(candidate netlink.Link) *nic {
		if l.id.compare(v, candidate) != same {
			return nil
		}
		return (&nic{link: candidate, bare: ifName}).at(l)
	})
}

// compareHere is compare in the current namespace, for a single interface.
func (l *loan) compareHere(candidate netlink.Link) verdict {
	v := &view{}
	defer v.close()
	return l.id.compare(v, candidate)
}

// unlessSuperseded returns the interface that find has found unless it is somebody
// else's by now. It works on the host.
func (l *loan) unlessSuperseded(found *nic) *nic {
	if found == nil || l.isSuperseded() {
		return nil
	}
	return found
}

// ownOf returns l if it is the attachment's interface in the container: because
// it says so, or because it has an alias that upstream's plugin can have left,
// which is its name on the host, and nothing contradicts.
func ownOf(req *plugin.Request, c *Config, l netlink.Link, recorded *loan, records intent.Store) *nic {
	if belongsTo(req.Owner(), l) {
		return known(l).at(recorded)
	}
	attrs := l.Attrs()
	if !isName(attrs.Alias) || !c.names(attrs) && (attrs.Name != req.IfName || !c.isByPath() && !hasAddress(req, c, attrs)) {
		return nil
	}
	if isAnothers(req, l, records) {
		return nil
	}
	return (&nic{link: l, home: home{name: attrs.Alias}}).at(recorded)
}

// isAnothers tells whether an interface in the container has been lent there to
// somebody whose mark it bears: others may share the namespace, and several interfaces
// may have been lent. The mark of a loan in another namespace is stale: upstream's
// plugin, after a downgrade, takes the interface home with it and lends it again. It
// gives it the name that is asked for, which has to do if the loan is not on record.
func isAnothers(req *plugin.Request, l netlink.Link, records intent.Store) bool {
	return slices.ContainsFunc(ownerComments(l), func(comment string) bool {
		if its := keptBy(records, comment); its != nil {
			return its.intent.Enters(req)
		}
		return l.Attrs().Name != req.IfName
	})
}

// isName tells whether an alias can be the name of an interface. Those of this
// suite's plugins have slashes, upstream's others set none.
func isName(alias string) bool {
	var problems conf.Problems
	conf.LinkName(&problems, "", alias)
	return problems.Len() == 0
}

// names tells whether an interface in the container is the one that the
// configuration names. Its alternative names have come with it.
func (c *Config) names(attrs *netlink.LinkAttrs) bool {
	return c.Device != "" && (attrs.Alias == c.Device || slices.Contains(attrs.AltNames, c.Device))
}

// isByPath tells whether the device was found by where it is in sysfs. There is
// nothing about that to see on its interface, so that any under the right name
// may be it, as for upstream's plugin. The address need not be that of
// prevResult: tuning has put back the one before, if it set one.
func (c *Config) isByPath() bool {
	return c.Device == "" && c.HWAddr == "" && c.canTellDevice()
}

// hasAddress tells whether an interface has the hardware address of the
// configuration or of prevResult.
func hasAddress(req *plugin.Request, c *Config, attrs *netlink.LinkAttrs) bool {
	mac := attrs.HardwareAddr.String()
	_, previous := req.PrevInterface()
	return mac != "" && (mac == conf.CanonicalMAC(c.HWAddr) || previous != nil && mac == conf.CanonicalMAC(previous.Mac))
}

// returned returns the attachment's interface if it is on the host, or nil: ADD
// or DEL did not come to an end, or the kernel brought it back as the
// container's namespace went away.
func returned(req *plugin.Request, c *Config) (*nic, error) {
	recorded := kept(req.Owner())
	found, err := recorded.pick(func(l netlink.Link) *nic {
		if belongsTo(req.Owner(), l) {
			return leftAt(l, recorded)
		}
		if c.Device == "" || len(ownerComments(l)) > 0 && l.Attrs().Name == c.Device {
			return nil // at home, or on its way from there to another's container
		}
		return stray(req, l, c.Device)
	})
	if found != nil || err != nil || recorded == nil {
		return found, err
	}
	found, err = recorded.find(req.IfName)
	if found = recorded.unlessSuperseded(found); found == nil {
		return nil, err
	}
	return found.ifLeft(), err
}
