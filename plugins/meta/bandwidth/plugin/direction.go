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
