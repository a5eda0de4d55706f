// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/link"
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
	if err := checkHasNone(req); err != nil {
		return err
	}
	rememberEarlier(req, n)
	keep(req, n)
	isHome := rememberBelongings(req, n)
	if err := mark(req.Owner(), n); err != nil {
		return errors.Join(err, discard(req.Owner()))
	}
	// For kernels without marks: it can be told by its alias, too.
	back := func() error {
		err := comeHome(req, &Config{Device: n.home.name})
		*isHome = err == nil
		return err
	}
	req.Undo.Push("marks of "+n.home.name, back)
	err := link.Move(n.link.Attrs().Index, req.Netns.NS(), req.IfName, n.home.name)
	if link.IsNotFound(err) {
		return errors.Join(fmt.Errorf("%w: %w", errTaken, err), discard(req.Owner()))
	}
	if err != nil {
		return fmt.Errorf("lend %s to the container: %w", n.link.Attrs().Name, err)
	}
	req.Undo.Push("move of "+n.home.name+" into the container", back)
	return req.InNetns(func() error { return arrive(req, n) })
}

// rememberEarlier has the attachment's earlier loan on record again if ADD fails: its
// interface may be somewhere, such as in a namespace that the container has made.
func rememberEarlier(req *plugin.Request, n *nic) {
	earlier := store().Get(req.Owner())
	if earlier == nil {
		return
	}
	if recorded := parseRecord(earlier); recorded != nil && recorded.compareHere(n.link) == same {
		return // it will be at home
	}
	req.Undo.Push("record of the earlier loan", func() error {
		if store().Get(req.Owner()) != nil {
			return nil // this one's, which could not be taken back
		}
		return store().Put(*earlier)
	})
}

// rememberBelongings has an interface get back what it loses as it is moved, if ADD
// fails and it comes home: as far as the caller knows, nothing has happened then.
// DEL leaves it without.
func rememberBelongings(req *plugin.Request, n *nic) (isHome *bool) {
	isHome = new(bool)
	had, err := belongingsOf(n.link)
	if err != nil && !link.IsNotFound(err) { // or somebody else has taken it
		plugin.Logf("host-device", "should ADD fail, %s will not get back all of its addresses and routes: %v", n.home.name, err)
	}
	if had.isEmpty() {
		return isHome
	}
	id := identify(n.link)
	req.Undo.Push("addresses and routes of "+n.home.name, func() error {
		if !*isHome {
			return nil
		}
		l, err := link.Find(n.home.name)
		if errors.Is(err, link.ErrNotFound) || err == nil && (&loan{id: id}).compareHere(l) == another {
			return nil // it is the next container's
		}
		if err != nil {
			return err
		}
		return had.putBack(l)
	})
	return isHome
}

// arrive finds the interface again in the container. Somebody else may have
// removed its marks, thinking that it was left behind by an earlier owner, or put
// his own beside them before he found it gone. The mark of another would be in
// his way when it comes home: an alternative name is there once per namespace.
func arrive(req *plugin.Request, n *nic) (err error) {
	if n.link, err = link.Find(req.IfName); err != nil {
		return err
	}
	if err := mark(req.Owner(), n); err != nil {
		return err
	}
	var others []string
	for _, comment := range ownerComments(n.link) {
		if comment != req.Owner().Comment() {
			others = append(others, markOf(comment))
		}
	}
	return link.RemoveAltNames(n.link.Attrs().Index, others...)
}

// checkNameIsFree finds out before anything is done whether the name the
// interface would get is taken: the kernel may notice it after the move.
func checkNameIsFree(req *plugin.Request) error {
	return req.InNetns(func() error {
		taken, err := isTaken(req.IfName)
		if !taken {
			return err
		}
		return fmt.Errorf("%w; use another CNI_IFNAME or delete the attachment first", &link.ExistsError{Name: req.IfName, InContainer: true})
	})
}

// checkHasNone finds out whether the container still has the interface of an earlier
// loan to the attachment, under another name. There is one mark and one record of both.
func checkHasNone(req *plugin.Request) error {
	if kept(req.Owner()) == nil {
		return nil
	}
	earlier, err := lent(req, &Config{})
	if earlier == nil {
		return err
	}
	exists := &link.ExistsError{Name: earlier.link.Attrs().Name, InContainer: true}
	return fmt.Errorf("%w, and is %s, which this attachment got earlier; delete the attachment first", exists, earlier.home.name)
}

// isTaken tells whether an interface of the current namespace has the name.
func isTaken(name string) (bool, error) {
	_, err := link.Find(name)
	if errors.Is(err, link.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// mark writes on an interface whose it becomes and what its home is, rather than
// what it was once. Kernels before 5.5 have no alternative names; the alias has
// to do there.
func mark(owner plugin.Owner, n *nic) error {
	attrs := n.link.Attrs()
	wanted := []string{n.home.String(), markOf(owner.Comment())}
	missing := slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return slices.Contains(attrs.AltNames, name) })
	outdated := slices.DeleteFunc(slices.Clone(attrs.AltNames), func(name string) bool {
		return !strings.HasPrefix(name, homePrefix) || slices.Contains(wanted, name)
	})
	err := link.RemoveAltNames(attrs.Index, outdated...)
	if err == nil {
		err = link.AddAltNames(attrs.Index, missing...)
	}
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil
	case errors.Is(err, unix.EEXIST) || link.IsNotFound(err):
		return fmt.Errorf("%w: %w", errTaken, err)
	}
	return err
}

// comeHome brings the attachment's interface back to the host, wherever it is.
func comeHome(req *plugin.Request, c *Config) error {
	return seek(req, c, func(req *plugin.Request, n *nic, err error) error {
		isHome, homeErr := bringHome(req, c, n)
		return done(req, isHome, err, homeErr)
	})
}

// seek looks for the attachment's interface in the container, and calls then with what
// is found, or nil, and a request for the namespace that it is in. The one that it was
// lent to may be there although the runtime names none, or another, any more.
func seek(req *plugin.Request, c *Config, then func(*plugin.Request, *nic, error) error) error {
	n, err := lent(req, c)
	if n == nil && err == nil {
		if inside := kept(req.Owner()).enter(req); inside != nil {
			defer inside.Netns.Close()
			req = inside
			n, err = lent(req, c)
		}
	}
	return then(req, n, err)
}

// done discards the record of an interface that is at home, if there was no error
// on the way there. Of one that is not to be found it is kept, as long as the
// interface can be somewhere: that is no error, since the container has to go.
func done(req *plugin.Request, isHome bool, errs ...error) error {
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if recorded := kept(req.Owner()); !isHome && recorded != nil && !recorded.isOver() {
		plugin.Logf("host-device", "%s is neither in the container nor on the host, and stays on record: a later DEL or GC brings it home if it is", recorded.home.name)
		return nil
	}
	return discard(req.Owner())
}

// bringHome brings the interface back that was found in the container, or else
// looks for it on the host, and makes it what it was. One that is not to be
// found is a success. If it cannot be moved since another DEL was quicker, there
// may be something left to do on the host.
func bringHome(req *plugin.Request, c *Config, found *nic) (isHome bool, err error) {
	if found != nil {
		err := sendHome(req, found)
		if err == nil {
			return true, settleHome(found)
		}
		if !hasLeft(req, found) {
			return false, err
		}
	}
	found, err = returned(req, c)
	if found == nil || err != nil {
		return false, err
	}
	return true, settleHome(found)
}

// hasLeft tells whether an interface that was in the container is no longer.
func hasLeft(req *plugin.Request, n *nic) bool {
	return link.IsNotFound(req.InNetns(func() error {
		_, err := link.FindByIndex(n.link.Attrs().Index)
		return err
	}))
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
	err = req.InNetns(func() error { return leave(n, host, n.foreignNames(req.Owner())) })
	if errors.Is(err, unix.EEXIST) {
		clashing := takenNames(n.link)
		err = req.InNetns(func() error { return leave(n, host, clashing) })
	}
	if err != nil {
		return err
	}
	arrived, err := link.Find(n.home.name)
	if err == nil {
		n.link = arrived
	}
	return err
}

// checkHomeIsFree finds out whether another interface on the host has the name
// that this one has to get back.
func checkHomeIsFree(n *nic) error {
	taken, err := isTaken(n.home.name)
	if !taken {
		return err
	}
	return fmt.Errorf("bring %s home: %w; rename that one", n.link.Attrs().Name, &link.ExistsError{Name: n.home.name})
}

// foreignNames returns the alternative names that an interface has got in the
// container. On the host they could stand for something else.
func (n *nic) foreignNames(owner plugin.Owner) []string {
	if n.home.traits == nil {
		return nil
	}
	return without(n.link.Attrs().AltNames, append([]string{n.home.String(), markOf(owner.Comment())}, n.home.traits.AltNames...))
}

// takenNames returns those of an interface's alternative names that another has in
// the current namespace.
func takenNames(l netlink.Link) []string {
	return slices.DeleteFunc(slices.Clone(l.Attrs().AltNames), func(name string) bool {
		taken, err := isTaken(name)
		return !taken && err == nil
	})
}

// leave moves an interface out of the current namespace, without some of its
// alternative names. If that fails it is as it was but for these, so that DEL can
// be tried again.
func leave(n *nic, host ns.NetNS, foreign []string) error {
	var steps undo.Stack
	err := link.RemoveAltNames(n.link.Attrs().Index, foreign...)
	if err == nil {
		err = takeHomeName(n, &steps)
	}
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
	taken, err := isTaken(n.home.name)
	if taken || err != nil {
		return err
	}
	return rename(n, steps)
}

// rename gives an interface its name on the host.
func rename(n *nic, steps *undo.Stack) error {
	name := n.link.Attrs().Name
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
