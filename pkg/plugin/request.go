// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"net"
	"slices"

	"github.com/containernetworking/cni/pkg/skel"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/undo"
)

// Request is one call of a plugin, decoded.
type Request struct {
	Plugin      string // its name
	Network     string
	ContainerID string
	IfName      string
	Netns       ns.Ref          // may be absent on DEL, is absent on STATUS and GC
	Prev        *current.Result // prevResult; nil if there was none
	IPAM        ipam.Delegate   // the zero value (layer 2) does nothing
	Undo        *undo.Stack     // unwound when ADD fails
	Args        conf.EnvArgs    // the pairs of CNI_ARGS that the plugin declared
	Raw         *skel.CmdArgs   // the call as it came, for a plugin that hands it on

	unlisted map[*current.IPConfig]*int // see takePrev
}

// Owner returns the mark of this attachment.
func (r *Request) Owner() Owner {
	return Owner{Network: r.Network, ContainerID: r.ContainerID, IfName: r.IfName}
}

// InNetns runs fn in the container's network namespace. If that is gone, which
// only DEL gets to see, there is nothing left to do in it: success.
func (r *Request) InNetns(fn func() error) error {
	if !r.Netns.Present() {
		return nil
	}
	return r.Netns.Do(fn)
}

// PrevAddresses returns the addresses of prevResult; without one, none.
func (r *Request) PrevAddresses() []*net.IPNet {
	if r.Prev == nil {
		return nil
	}
	addresses := make([]*net.IPNet, len(r.Prev.IPs))
	for i, ip := range r.Prev.IPs {
		addresses[i] = &net.IPNet{IP: ip.Address.IP, Mask: ip.Address.Mask}
	}
	return addresses
}

// PrevInterface returns the entry of prevResult for this attachment's interface
// in the container, with its index, or nil. If there are several of the name, it is
// the one in CNI_NETNS, or the first: a sandbox may be written as another path.
func (r *Request) PrevInterface() (int, *current.Interface) {
	if r.Prev == nil {
		return -1, nil
	}
	index := slices.IndexFunc(r.Prev.Interfaces, func(iface *current.Interface) bool {
		return iface.Name == r.IfName && iface.Sandbox != "" && iface.Sandbox == r.Netns.Path()
	})
	if index < 0 {
		index = slices.IndexFunc(r.Prev.Interfaces, func(iface *current.Interface) bool { return iface.Name == r.IfName && iface.Sandbox != "" })
	}
	if index < 0 {
		return -1, nil
	}
	return index, r.Prev.Interfaces[index]
}

func (r *Request) close() error { return r.Netns.Close() }

func (c command) newRequest(args *skel.CmdArgs, base *conf.Common) *Request {
	return &Request{
		Plugin:      c.Name,
		Network:     base.Name,
		ContainerID: args.ContainerID,
		IfName:      args.IfName,
		Raw:         args,
	}
}
