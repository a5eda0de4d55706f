// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// intended is what the store keeps for an attachment.
type intended struct {
	Backend string              `json:"backend"`
	Ports   netfilter.HostPorts `json:"ports"`
}

func store() intent.Store { return intent.Of("portmap") }

// remember keeps what the rules of the attachment are meant to be. Without it
// they work, but nobody could put them back: that is said, and no reason to fail.
func remember(req *plugin.Request, wanted intended) error {
	i, err := intent.New(req, wanted)
	if err != nil {
		return err
	}
	if err := store().Put(i); err != nil {
		fmt.Fprintf(os.Stderr, "portmap: the mappings of %s cannot be put back when somebody flushes them: %v\n", req.Owner().Comment(), err)
	}
	return nil
}

// recall returns what remember has kept, or nil. It may be retired.
func recall(owner plugin.Owner) *intended {
	i := store().Left(owner)
	if i == nil {
		return nil
	}
	d := decode(*i)
	return &d
}

func decode(i intent.Intent) intended {
	var decoded intended
	_ = json.Unmarshal(i.Content, &decoded) // whoever wrote something else gets nothing back
	return decoded
}

// remove removes the rules of an attachment and then the intent, which has to
// stay for as long as there are any.
func remove(ctx context.Context, owner plugin.Owner, addresses []netip.Prefix) (removed bool, err error) {
	err = store().Remove(owner, func() error {
		removed, err = removeRules(ctx, owner, addresses)
		return err
	})
	return removed, err
}

func removeRules(ctx context.Context, owner plugin.Owner, addresses []netip.Prefix) (removed bool, err error) {
	mapped := netfilter.Mapped{Addresses: addresses}
	if earlier := recall(owner); earlier != nil {
		mapped.Ports = earlier.removable()
	}
	return netfilter.RemovePorts(ctx, owner, mapped, holders{})
}

// removable returns the ports as RemovePorts wants them: the conditions of
// iptables mean nothing to nftables.
func (d intended) removable() *netfilter.HostPorts {
	if d.Backend == netfilter.IPTables {
		d.Ports.ConditionsV4, d.Ports.ConditionsV6 = nil, nil
	}
	return &d.Ports
}

// dropEarlier removes what an earlier ADD of the same attachment has mapped. If the
// rest of this ADD fails it is put back. If it is what is wanted now, again, it stays
// whatever comes.
func dropEarlier(ctx context.Context, req *plugin.Request, wanted intended) (again bool, err error) {
	i := store().Left(req.Owner())
	switch {
	case i == nil:
		return false, nil
	case i.Retired: // by a DEL that was killed
	case reflect.DeepEqual(decode(*i), wanted):
		return true, nil
	default:
		req.Undo.Push("earlier port mappings", func() error { return putBack(ctx, *i) })
	}
	return false, drop(ctx, req.Owner(), decode(*i))
}

// drop removes what an attachment has mapped, with its connections.
func drop(ctx context.Context, owner plugin.Owner, was intended) error {
	_, err := remove(ctx, owner, nil)
	forgetConnections(was.Ports, leftBy(owner, was.Ports))
	return err
}

func putBack(ctx context.Context, i intent.Intent) error {
	if err := store().Put(i); err != nil {
		return err
	}
	was := decode(i)
	if len(was.Ports.Mappings) == 0 {
		return nil
	}
	backend, err := netfilter.SelectPortMapper(was.Backend)
	if err != nil {
		return err
	}
	if err := backend.MapPorts(ctx, i.Owner(), was.Ports, holders{}); err != nil {
		return err
	}
	forgetUntranslated([]netfilter.OwnedPorts{{Owner: i.Owner(), Ports: was.Ports}})
	return nil
}

// holders says what the store knows of others.
type holders struct{}

func (holders) Gone(comment string) bool { return store().Gone(comment) }

func (holders) ContainerGone(network, container string) bool {
	return store().ContainerGone(network, container)
}

func (holders) Siblings(owner plugin.Owner) []netfilter.HostPorts {
	var siblings []netfilter.HostPorts
	for _, i := range store().OfContainer(owner.Network, owner.ContainerID) {
		if d := decode(i); i.Owner() != owner && d.Backend == netfilter.IPTables {
			siblings = append(siblings, d.Ports)
		}
	}
	return siblings
}

// collect removes what attachments of the network have left that are not valid.
func collect(ctx context.Context, valid plugin.Attachments) error {
	remembered := store().Collect(valid, func(owner plugin.Owner) error {
		_, err := removeRules(ctx, owner, nil)
		if was := recall(owner); was != nil {
			forgetConnections(was.Ports, leftBy(owner, was.Ports))
		}
		return err
	})
	return errors.Join(remembered, netfilter.GCPorts(ctx, valid, otherNetworkHas(valid.Network())))
}
