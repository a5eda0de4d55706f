// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// hostEnd returns the host's end of the container's veth, which prevResult has
// to name.
func hostEnd(req *plugin.Request) (netlink.Link, error) {
	host, err := vethpair.HostEnd(req)
	if err != nil {
		return nil, fmt.Errorf("only an interface with its other end on the host can be shaped: %w", err)
	}
	name := host.Attrs().Name
	if !slices.ContainsFunc(req.Prev.Interfaces, func(i *current.Interface) bool { return i.Sandbox == "" && i.Name == name }) {
		return nil, plugin.Errorf(types.ErrInvalidNetworkConfig, "prevResult.interfaces: %s, the host's end of %s, is not among them", name, req.IfName)
	}
	return host, nil
}

// warnOfSmallBursts says why nothing will get through: a packet that is larger
// than the bucket is dropped.
func warnOfSmallBursts(req *plugin.Request, p plan, mtu int) {
	for _, direction := range []struct {
		key    string
		shaper shaper
	}{{"ingressBurst", p.ingress}, {"egressBurst", p.egress}} {
		if direction.shaper.active() && direction.shaper.burst < uint64(mtu) {
			plugin.Logf("bandwidth", "container %s: %s is %d bytes, packets of up to %d bytes will be dropped if they are larger",
				req.ContainerID, direction.key, direction.shaper.burst, mtu)
		}
	}
}

// makeRoom removes what an ADD of the same attachment has left that was not
// followed by a DEL. What somebody else has put in the way is an error.
func makeRoom(req *plugin.Request, host netlink.Link) error {
	devices, err := ownIFBs(req.Owner())
	if err == nil {
		devices, err = withoutAnothers(host, devices)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(sweep(host, devices), deleteAll(devices)); err != nil {
		return err
	}
	for _, parent := range []uint32{netlink.HANDLE_ROOT, netlink.HANDLE_INGRESS} {
		qdisc, err := qdiscAt(host, parent)
		if err != nil {
			return err
		}
		if qdisc != nil {
			return fmt.Errorf("%s has a queueing discipline that is not ours: %s %s", host.Attrs().Name, qdisc.Type(), netlink.HandleStr(qdisc.Handle))
		}
	}
	return nil
}

// withoutAnothers leaves out a device of upstream to which the host's end does not
// lead: it is that of another interface of the container.
func withoutAnothers(host netlink.Link, devices []netlink.Link) ([]netlink.Link, error) {
	if len(devices) == 0 || devices[0].Attrs().Alias != "" {
		return devices, nil
	}
	hook, err := qdiscAt(host, netlink.HANDLE_INGRESS)
	if err != nil || hook == nil {
		return nil, err
	}
	leads, err := leadsTo(hook, func(target int) bool { return isOneOf(devices, target) })
	if err != nil || !leads {
		return nil, err
	}
	return devices, nil
}

// sweep removes everything of an attachment from the host's end: the shaper
// before the hook, by which both may have to be found.
func sweep(host netlink.Link, devices []netlink.Link) error {
	unshaped := unshape(host)
	hook, err := qdiscAt(host, netlink.HANDLE_INGRESS)
	if err == nil && hook != nil {
		err = unhookIf(hook, func(target int) bool { return target == 0 || isOneOf(devices, target) })
	}
	return errors.Join(unshaped, err)
}

// remove removes devices and, from whatever host's ends lead to them, what was
// put there for the attachment. The devices come last: by them, the rest is
// found after a kill.
func remove(devices []netlink.Link) error {
	if len(devices) == 0 {
		return nil
	}
	all, err := hooks()
	if err != nil {
		return errors.Join(err, deleteAll(devices))
	}
	var errs []error
	for _, hook := range all {
		leads, err := leadsTo(hook, func(target int) bool { return isOneOf(devices, target) })
		if leads {
			err = sweepByIndex(hook.Attrs().LinkIndex, devices)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, deleteAll(devices))...)
}

func sweepByIndex(index int, devices []netlink.Link) error {
	host, err := link.FindByIndex(index)
	if errors.Is(err, link.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return sweep(host, devices)
}

func isOneOf(devices []netlink.Link, index int) bool {
	return slices.ContainsFunc(devices, func(l netlink.Link) bool { return l.Attrs().Index == index })
}

// direction is traffic that is redirected to a device, which shapes it.
type direction struct {
	names   []string // the device has one of them
	shaper  shaper
	parent  uint32 // the place of the filters on the host's end
	filters []filter
}

// byDevice returns the directions for which there is a device.
func (p plan) byDevice(owner plugin.Owner) []direction {
	var directions []direction
	if p.egress.active() {
		directions = append(directions, direction{egressNames(owner), p.egress, arriving(p.hook()), p.traffic.filters(destinations())})
	}
	if p.ingress.active() && !p.shapesHost() {
		directions = append(directions, direction{[]string{ingressName(owner)}, p.ingress, netlink.HANDLE_MIN_EGRESS, p.traffic.filters(sources())})
	}
	return directions
}

// shapeByDevices makes the devices and redirects the traffic to them.
func shapeByDevices(req *plugin.Request, p plan, host netlink.Link) (devices []netlink.Link, err error) {
	directions := p.byDevice(req.Owner())
	if len(directions) == 0 {
		return nil, nil
	}
	for _, direction := range directions {
		device, err := createIFB(req, host.Attrs().MTU, direction.names...)
		if err != nil {
			return nil, err
		}
		if err := direction.shaper.apply(device); err != nil {
			return nil, err
		}
		devices = append(devices, device)
	}
	if err := redirect(host, p.hook(), directions, devices); err != nil {
		return nil, err
	}
	req.Undo.Push("filters of "+host.Attrs().Name, func() error { return removeHook(host) })
	return devices, nil
}

// check compares the device, its shaper and what leads to it with the direction.
func (d direction) check(report *check.Report, host netlink.Link, devices []netlink.Link) {
	at := slices.IndexFunc(devices, func(l netlink.Link) bool { return slices.Contains(d.names, l.Attrs().Name) })
	if at < 0 {
		report.Addf("%s: the device is gone", d.names[0])
		return
	}
	device := devices[at]
	report.Up(device)
	d.shaper.check(report, device)
	d.checkFilters(report, host, device)
}

// isLegacy tells whether any of the links is shaped in the way of upstream 1.5.0
// and 1.5.1.
func isLegacy(links []netlink.Link) bool {
	return slices.ContainsFunc(links, func(l netlink.Link) bool {
		root, err := qdiscAt(l, netlink.HANDLE_ROOT)
		return err == nil && root != nil && root.Type() == "htb" && root.Handle == rootHandle
	})
}

func deleteAll(devices []netlink.Link) error {
	var errs []error
	for _, device := range devices {
		errs = append(errs, link.DeleteByIndex(device.Attrs().Index))
	}
	return errors.Join(errs...)
}

// tryOut does in an empty namespace what ADD does.
func tryOut(traffic selection) error {
	const name, mtu = "probe", 1500
	if err := requestIFB(name, mtu, name); err != nil {
		return err
	}
	device, err := link.Find(name)
	if err != nil {
		return err
	}
	if err := (shaper{rate: 1000, burst: mtu}).apply(device); err != nil {
		return err
	}
	lo, err := link.Find("lo")
	if err != nil {
		return err
	}
	p := plan{egress: shaper{rate: 1}, traffic: traffic}
	return redirect(lo, p.hook(), p.byDevice(plugin.Owner{}), []netlink.Link{device})
}

// ignoreGone makes a success of an error that says that a link, or what was on
// it, is gone.
func ignoreGone(err error) error {
	for _, gone := range []error{unix.ENODEV, unix.ENOENT, unix.EINVAL} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}
