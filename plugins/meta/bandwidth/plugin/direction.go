// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// direction is traffic that is redirected to a device, which shapes it.
type direction struct {
	names   []string // the device has one of them
	device  netlink.Link
	shaper  shaper
	parent  uint32 // the place of the filters on the host's end
	filters []filter
}

// byDevice returns the directions for which there is to be a device.
func (p plan) byDevice(owner plugin.Owner) []direction {
	var directions []direction
	if p.egress.active() {
		directions = append(directions, direction{
			names: egressNames(owner), shaper: p.egress, parent: netlink.HANDLE_MIN_INGRESS, filters: p.traffic.filters(destinations()),
		})
	}
	if p.ingress.active() && !p.shapesHost() {
		directions = append(directions, direction{
			names: []string{ingressName(owner)}, shaper: p.ingress, parent: netlink.HANDLE_MIN_EGRESS, filters: p.traffic.filters(sources()),
		})
	}
	return directions
}

// shapeByDevices makes the devices and redirects the traffic to them, and that of
// others, who share the hook.
func shapeByDevices(req *plugin.Request, p plan, host netlink.Link, others []direction) (devices []netlink.Link, err error) {
	directions := p.byDevice(req.Owner())
	if len(directions)+len(others) == 0 {
		return nil, nil
	}
	for i, direction := range directions {
		device, err := createIFB(req, host.Attrs().MTU, direction.names...)
		if err != nil {
			return nil, err
		}
		if err := direction.shaper.apply(device); err != nil {
			return nil, err
		}
		directions[i].device = device
		devices = append(devices, device)
	}
	hook := p.hook()
	if len(others) > 0 {
		hook = "clsact"
	}
	if err := redirect(host, hook, append(directions, others...)); err != nil {
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
	d.device = devices[at]
	report.Up(d.device)
	d.shaper.check(report, d.device)
	d.checkFilters(report, host)
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
	directions := p.byDevice(plugin.Owner{})
	directions[0].device = device
	return redirect(lo, p.hook(), directions)
}
