// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/undo"
)

// errTaken says that somebody else took or marked an interface between our
// finding it and our taking it.
var errTaken = errors.New("somebody else has taken the interface meanwhile")

// attempts bounds how often another interface is looked for after somebody else
// was quicker.
const attempts = 100

// take finds the device's interface and lends it to the container. A hardware
// address may be that of several, of which each attachment gets its own.
func (root sysfs) take(req *plugin.Request, at locator) (taken *nic, err error) {
	for range attempts {
		if taken, err = root.find(req, at); err != nil {
			return nil, err
		}
		taken.pciID = root.pciID(taken.link.Attrs().Name)
		if err = lend(req, taken); !errors.Is(err, errTaken) {
			return taken, err
		}
	}
	return nil, err
}

// lend marks an interface and moves it into the container, under the name the
// runtime asked for.
func lend(req *plugin.Request, n *nic) error {
	if err := checkNameIsFree(req); err != nil {
		return err
	}
	if err := mark(req.Owner(), n); err != nil {
		return err
	}
	// For kernels without marks: it can be told by its alias, too.
	back := func() error { return comeHome(req, &Config{Device: n.home.name}) }
	req.Undo.Push("marks of "+n.home.name, back)
	err := link.Move(n.link.Attrs().Index, req.Netns.NS(), req.IfName, n.home.name)
	if link.IsNotFound(err) {
		return fmt.Errorf("%w: %w", errTaken, err)
	}
	if err != nil {
		return fmt.Errorf("lend %s to the container: %w", n.link.Attrs().Name, err)
	}
	req.Undo.Push("move of "+n.home.name+" into the container", back)
	return req.InNetns(func() error { return arrive(req, n) })
}

// arrive finds the interface again in the container. Somebody else may have
// removed its marks, thinking that it was left behind by an earlier owner.
func arrive(req *plugin.Request, n *nic) (err error) {
	if n.link, err = link.Find(req.IfName); err != nil {
		return err
	}
	n.marked = known(n.link).marked
	return mark(req.Owner(), n)
}

// checkNameIsFree finds out before anything is done whether the name the
// interface would get is taken: the kernel may notice it after the move.
func checkNameIsFree(req *plugin.Request) error {
	return req.InNetns(func() error {
		_, err := link.Find(req.IfName)
		switch {
		case errors.Is(err, link.ErrNotFound):
			return nil
		case err != nil:
			return err
		}
		return fmt.Errorf("%w; use another CNI_IFNAME or delete the attachment first", &link.ExistsError{Name: req.IfName, InContainer: true})
	})
}

// mark writes on an interface whose it becomes and how it is now, unless it
// still bears how it was before an earlier owner got it. Kernels before 5.5 have
// no alternative names; the alias has to do there.
func mark(owner plugin.Owner, n *nic) error {
	var names []string
	if !n.marked {
		names = append(names, n.home.String())
	}
	if !belongsTo(owner, n.link) {
		names = append(names, markOf(owner.Comment()))
	}
	err := link.AddAltNames(n.link.Attrs().Index, names...)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil
	case errors.Is(err, unix.EEXIST) || link.IsNotFound(err):
		return fmt.Errorf("%w: %w", errTaken, err)
	}
	return err
}

// lent returns the attachment's interface if it is in the container, or nil.
// The configuration, if there is one, helps to recognize one without marks.
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
	if c == nil || attrs.Alias == "" || len(ownerComments(l)) > 0 {
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
			return known(l)
		}
		if c == nil || c.Device == "" || len(ownerComments(l)) > 0 {
			return nil
		}
		return stray(req, l, c.Device)
	})
}

// comeHome brings the attachment's interface back to the host, wherever it is.
func comeHome(req *plugin.Request, c *Config) error {
	n, err := lent(req, c)
	return errors.Join(err, bringHome(req, c, n))
}

// bringHome brings the interface back that was found in the container, or else
// looks for it on the host, and makes it what it was. One that is not to be
// found is a success.
func bringHome(req *plugin.Request, c *Config, found *nic) error {
	if found != nil {
		return sendHome(req, found)
	}
	found, err := returned(req, c)
	if found == nil || err != nil {
		return err
	}
	return settleHome(found)
}

// sendHome moves an interface from the container to the host.
func sendHome(req *plugin.Request, n *nic) error {
	host, err := ns.GetCurrentNS()
	if err != nil {
		return err
	}
	defer host.Close()
	if err := checkHomeIsFree(n); err != nil {
		return fmt.Errorf("%w; %s stays in the container", err, n.link.Attrs().Name)
	}
	if err := req.InNetns(func() error { return leave(n, host) }); err != nil {
		return err
	}
	if n.link, err = link.Find(n.home.name); err != nil {
		return err
	}
	return settleHome(n)
}

// checkHomeIsFree finds out whether another interface on the host has the name
// that this one has to get back.
func checkHomeIsFree(n *nic) error {
	_, err := link.Find(n.home.name)
	switch {
	case errors.Is(err, link.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("bring %s home: %w; rename that one", n.link.Attrs().Name, &link.ExistsError{Name: n.home.name})
}

// leave moves an interface out of the current namespace. If that fails it is as
// it was, so that DEL can be tried again.
func leave(n *nic, host ns.NetNS) error {
	var steps undo.Stack
	err := takeHomeName(n, &steps)
	if err == nil {
		err = link.Move(n.link.Attrs().Index, host, n.home.name, "")
	}
	if err != nil {
		return errors.Join(err, steps.Unwind())
	}
	return nil
}

// takeHomeName gives an interface its name on the host while it is still in the
// container: udev and others on the host would act on the name under which it
// arrives. If the name is taken in the container, that cannot be helped.
func takeHomeName(n *nic, steps *undo.Stack) error {
	name := n.link.Attrs().Name
	if _, err := link.Find(n.home.name); !errors.Is(err, link.ErrNotFound) {
		return err
	}
	if err := setDown(n.link, steps); err != nil {
		return err
	}
	if err := netlink.LinkSetName(n.link, n.home.name); err != nil {
		return fmt.Errorf("rename %s to %s: %w", name, n.home.name, err)
	}
	steps.Push("name", func() error { return netlink.LinkSetName(n.link, name) })
	return nil
}

// setDown sets an interface down, as older kernels want it for a new name.
func setDown(l netlink.Link, steps *undo.Stack) error {
	if l.Attrs().RawFlags&unix.IFF_UP == 0 {
		return nil
	}
	if err := netlink.LinkSetDown(l); err != nil {
		return fmt.Errorf("set %s down: %w", l.Attrs().Name, err)
	}
	steps.Push("state", func() error { return netlink.LinkSetUp(l) })
	return nil
}

// settleHome makes an interface on the host what it was before it was given
// away. Its marks go last: who is interrupted can start again.
func settleHome(n *nic) error {
	if err := rename(n); err != nil {
		return err
	}
	return errors.Join(restore(n), removeMarks(n))
}

// rename gives an interface its name back that the kernel brought to the host.
func rename(n *nic) error {
	if n.link.Attrs().Name == n.home.name {
		return nil
	}
	if err := checkHomeIsFree(n); err != nil {
		return err
	}
	var steps undo.Stack
	if err := takeHomeName(n, &steps); err != nil {
		return errors.Join(err, steps.Unwind())
	}
	return nil
}

// restore gives an interface the properties back that a container can have
// changed. It is up again only if it is known to have been up.
func restore(n *nic) error {
	attrs := n.link.Attrs()
	var errs []error
	if n.home.mtu != 0 && n.home.mtu != attrs.MTU {
		errs = append(errs, describe(n, "MTU", netlink.LinkSetMTU(n.link, n.home.mtu)))
	}
	if len(n.home.mac) > 0 && !bytes.Equal(n.home.mac, attrs.HardwareAddr) {
		errs = append(errs, describe(n, "hardware address", netlink.LinkSetHardwareAddr(n.link, n.home.mac)))
	}
	if attrs.Alias == n.home.name {
		errs = append(errs, describe(n, "alias", netlink.LinkSetAlias(n.link, "")))
	}
	if n.home.up {
		errs = append(errs, describe(n, "state", netlink.LinkSetUp(n.link)))
	}
	return errors.Join(errs...)
}

func describe(n *nic, what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("restore the %s of %s: %w", what, n.home.name, err)
}

func removeMarks(n *nic) error {
	return describe(n, "alternative names", link.RemoveAltNames(n.link.Attrs().Index, marks(n.link)...))
}

// collect brings home what is on the host and belongs to attachments of the
// network that are no longer valid. Of several owners' marks only theirs go.
func collect(valid plugin.Attachments) error {
	links, err := netlinksafe.LinkList()
	if err != nil {
		return fmt.Errorf("list the links: %w", err)
	}
	var errs []error
	for _, l := range links {
		owners := ownerComments(l)
		stale := slices.DeleteFunc(slices.Clone(owners), func(comment string) bool { return !valid.StaleComment(comment) })
		switch {
		case len(stale) == 0:
		case len(stale) == len(owners):
			errs = append(errs, settleHome(known(l)))
		default:
			for _, comment := range stale {
				errs = append(errs, link.RemoveAltNames(l.Attrs().Index, markOf(comment)))
			}
		}
	}
	return errors.Join(errs...)
}
