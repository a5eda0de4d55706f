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
	if err := errors.Join(sweep(host, devices), deleteAll(devices), release(req.Owner())); err != nil {
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
