// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"errors"
	"net/netip"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// intended is what the store keeps for an attachment.
type intended struct {
	Backend string              `json:"backend"`
	Ports   netfilter.HostPorts `json:"ports"`

	// Entry tells which one of the list it is, if the plugin stands there more than
	// once, and Beside has what the others have mapped.
	Entry  string     `json:"entry,omitempty"`
	Beside []intended `json:"beside,omitempty"`
}

func store() intent.Kept[intended] { return intent.KeptBy[intended]("portmap") }

// remember keeps what the rules of the attachment are meant to be.
func remember(req *plugin.Request, wanted []intended) {
	store().Remember(req, together(wanted), "the mappings of "+req.Owner().Comment()+" cannot be put back when somebody flushes them")
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
// iptables mean nothing to nftables. What several entries have is looked for.
func (d intended) removable() *netfilter.HostPorts {
	if len(d.Beside) > 0 {
		return nil
	}
	if d.Backend == netfilter.IPTables {
		d.Ports.ConditionsV4, d.Ports.ConditionsV6 = nil, nil
	}
	return &d.Ports
}

// dropEarlier removes what earlier ADDs of the same attachment have mapped, unless all
// of that is wanted now, too. If the rest of this ADD fails it is put back. If it is what
// is wanted now, again, it stays whatever comes.
func dropEarlier(ctx context.Context, req *plugin.Request, i *intent.Intent, wanted []intended) (again, dropped bool, err error) {
	if i == nil {
		return false, false, nil
	}
	earlier := store().Decode(*i).all()
	gone := without(earlier, wanted)
	if !i.Retired { // by a DEL that was killed
		if len(gone) == 0 && len(earlier) == len(wanted) {
			return true, false, nil
		}
		req.Undo.Push("earlier port mappings", func() error { return putBack(ctx, *i) })
		if len(gone) == 0 {
			return false, false, nil
		}
	}
	_, err = remove(ctx, req.Owner(), nil)
	forgetLeft(req.Owner(), gone)
	return false, true, err
}

// forgetLeft ends the connections to what the owner does not have any more.
func forgetLeft(owner plugin.Owner, gone []intended) {
	for _, d := range gone {
		forgetConnections(d.Ports, leftBy(owner, d.Ports))
	}
}

func putBack(ctx context.Context, i intent.Intent) error {
	if err := store().Put(i); err != nil {
		return err
	}
	all := store().Decode(i).all()
	if err := mapEach(ctx, i.Owner(), all, all); err != nil {
		return err
	}
	for _, d := range all {
		forgetUntranslated([]netfilter.OwnedPorts{{Owner: i.Owner(), Ports: d.Ports}})
	}
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
		for _, d := range store().Decode(i).all() {
			if i.Owner() != owner && d.Backend == netfilter.IPTables {
				siblings = append(siblings, d.Ports)
			}
		}
	}
	return siblings
}

// collect removes what attachments of the network have left that are not valid.
func collect(ctx context.Context, valid plugin.Attachments) error {
	remembered := store().Collect(valid, func(owner plugin.Owner) error {
		_, err := removeRules(ctx, owner, nil)
		if was, remembered := store().Recall(owner); remembered {
			forgetLeft(owner, was.all())
		}
		return err
	})
	return errors.Join(remembered, netfilter.GCPorts(ctx, valid, otherNetworkHas(valid.Network())))
}
