// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"errors"
	"net/netip"
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

func store() intent.Kept[intended] { return intent.KeptBy[intended]("portmap") }

// remember keeps what the rules of the attachment are meant to be.
func remember(req *plugin.Request, wanted intended) {
	store().Remember(req, wanted, "the mappings of "+req.Owner().Comment()+" cannot be put back when somebody flushes them")
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
	if earlier, remembered := store().Recall(owner); remembered {
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
	case reflect.DeepEqual(store().Decode(*i), wanted):
		return true, nil
	default:
		req.Undo.Push("earlier port mappings", func() error { return putBack(ctx, *i) })
	}
	return false, drop(ctx, req.Owner(), store().Decode(*i))
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
	was := store().Decode(i)
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
		if d := store().Decode(i); i.Owner() != owner && d.Backend == netfilter.IPTables {
			siblings = append(siblings, d.Ports)
		}
	}
	return siblings
}

// collect removes what attachments of the network have left that are not valid.
func collect(ctx context.Context, valid plugin.Attachments) error {
	remembered := store().Collect(valid, func(owner plugin.Owner) error {
		_, err := removeRules(ctx, owner, nil)
		if was, remembered := store().Recall(owner); remembered {
			forgetConnections(was.Ports, leftBy(owner, was.Ports))
		}
		return err
	})
	return errors.Join(remembered, netfilter.GCPorts(ctx, valid, otherNetworkHas(valid.Network())))
}
