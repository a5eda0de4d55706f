// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/vethpair"
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
	if !isPrevious(req, host) {
		return nil, plugin.Errorf(types.ErrInvalidNetworkConfig, "prevResult.interfaces: %s, the host's end of %s, is not among them", host.Attrs().Name, req.IfName)
	}
	return host, nil
}

// isPrevious tells whether prevResult names a link of the host.
func isPrevious(req *plugin.Request, l netlink.Link) bool {
	return slices.ContainsFunc(req.Prev.Interfaces, func(i *current.Interface) bool { return i.Sandbox == "" && i.Name == l.Attrs().Name })
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
// followed by a DEL, and returns what other entries of the list have made, which
// stays. What somebody else has put in the way of the plan is an error.
func makeRoom(req *plugin.Request, p plan, host netlink.Link, entry string) (others, error) {
	devices, err := ownDevices(req, host)
	if err != nil {
		return others{}, err
	}
	others, stale, err := findOthers(req, p, host, entry, devices)
	if err != nil {
		return others, err
	}
	ends := []netlink.Link{host}
	if !others.shaper {
		err = removeShaper(req, p, ends, host, devices)
	}
	if err := errors.Join(err, sweep(ends, stale)); err != nil {
		return others, err
	}
	return others, requireFree(host, p.places())
}

// requireFree returns an error if somebody else has a queueing discipline in one
// of the places.
func requireFree(host netlink.Link, places []place) error {
	for _, place := range places {
		qdisc, err := qdiscAt(host, place.parent)
		if err != nil {
			return err
		}
		if qdisc != nil {
			return fmt.Errorf("%s has a queueing discipline that is not ours: %s %s; %s needs its place",
				host.Attrs().Name, qdisc.Type(), netlink.HandleStr(qdisc.Handle), place.key)
		}
	}
	return nil
}

// withoutAnothers leaves out a device of upstream, whose name says nothing of the
// interface, if the host's ends that lead to it are of other interfaces of the
// container. host is the attachment's own, or nil if it has not been found.
func withoutAnothers(req *plugin.Request, host netlink.Link, devices []netlink.Link) ([]netlink.Link, error) {
	if !areUpstreams(devices) {
		return devices, nil
	}
	ends, err := leadingTo(devices)
	if err != nil {
		return nil, err
	}
	own := func(end netlink.Link) bool { return isOwnEnd(req, host, end) }
	if len(ends) > 0 && !slices.ContainsFunc(ends, own) {
		return nil, nil
	}
	return devices, nil
}

// isOwnEnd tells whether end, of an interface of the container, is of the
// attachment's: if that has not been found, by the name at the other end.
func isOwnEnd(req *plugin.Request, host, end netlink.Link) bool {
	if host != nil {
		return end.Attrs().Index == host.Attrs().Index
	}
	container, err := link.OtherEnd(end)
	if err != nil { // nobody can tell; with a namespace, it would have been found there
		return !req.Netns.Present()
	}
	return container.Attrs().Name == req.IfName
}
