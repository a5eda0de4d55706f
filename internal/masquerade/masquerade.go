// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package masquerade is what the plugins with "ipMasq" have in common: its
// keys, and what they mean for each command. The rules themselves are made by
// internal/netfilter.
package masquerade

import (
	"context"
	"errors"
	"net"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Settings are the keys of a configuration that ask for masquerading. Embed
// them by value.
type Settings struct {
	IPMasq        bool   `json:"ipMasq,omitempty"`
	IPMasqBackend string `json:"ipMasqBackend,omitempty"`
}

// ValidateMasquerade notes a backend that does not exist.
func (s *Settings) ValidateMasquerade(p *conf.Problems) {
	if s.IPMasq && s.IPMasqBackend != "" {
		p.OneOf("ipMasqBackend", s.IPMasqBackend, netfilter.Names()...)
	}
}

// Masquerade hides the addresses of an attachment behind the host's for
// everything outside their subnets and pushes the removal.
func (s *Settings) Masquerade(ctx context.Context, req *plugin.Request, ips []*current.IPConfig) error {
	if !s.IPMasq || len(ips) == 0 {
		return nil
	}
	backend, err := netfilter.Select(s.IPMasqBackend)
	if err != nil {
		return err
	}
	owner, addresses := req.Owner(), addressesOf(ips)
	// Before: one family may be done when the other fails.
	req.Undo.Push("masquerading", func() error { return Remove(ctx, owner, addresses) })
	m := mender(req.Plugin)
	m.Remember(req, intend(backend, addresses))
	return netfilter.HealingFirst(ctx, m.Others(ctx, req), func(ctx context.Context) error {
		return write(ctx, backend, owner, addresses)
	})
}

// Recall returns the addresses that DEL knows of an attachment, or, where it knows
// none, those that are remembered: the namespace may be out of reach.
func Recall(owner plugin.Owner, known []*net.IPNet) []*net.IPNet {
	if len(known) > 0 {
		return known
	}
	was, _ := intent.Kept[intended]{Store: store()}.Recall(owner)
	return was.addresses()
}

// Remove removes what Masquerade has made, whatever the configuration says: it may
// have changed since ADD. Known are the addresses, as far as they are known.
func Remove(ctx context.Context, owner plugin.Owner, known []*net.IPNet) error {
	return errors.Join(Forget(owner), removeRules(ctx, owner, known))
}

// Prune completes DEL, after the interface is gone, where the addresses of the
// attachment are not known: an ADD that failed, or an earlier DEL, has left none.
// The rules of iptables do not tell to which of a container's attachments they
// belong, so those of addresses stay that another interface has, or is remembered to
// have: the namespace may be out of reach.
func Prune(ctx context.Context, req *plugin.Request, known []*net.IPNet) error {
	if len(known) > 0 {
		return nil
	}
	living, err := containerlink.Living(req)
	if err != nil {
		return err
	}
	return netfilter.PruneMasquerade(ctx, req.Owner(), append(living, rememberedBeside(req.Owner())...))
}

// rememberedBeside returns the addresses that are remembered of the other attachments
// of the owner's container to the network. Their own DEL takes them, whether they are
// gone or not.
func rememberedBeside(owner plugin.Owner) []*net.IPNet {
	kept := intent.Kept[intended]{Store: store()}
	var addresses []*net.IPNet
	for _, i := range kept.OfContainer(owner.Network, owner.ContainerID) {
		if i.Owner() != owner {
			addresses = append(addresses, kept.Decode(i).addresses()...)
		}
	}
	return addresses
}

// MasqueradeStatus tells why masquerading would not work, if it is asked for.
func (s *Settings) MasqueradeStatus(ctx context.Context, req *plugin.Request) error {
	if !s.IPMasq {
		return nil
	}
	backend, err := netfilter.Select(s.IPMasqBackend)
	if err != nil {
		return err
	}
	reportLost(ctx, req.Plugin)
	return backend.Available(ctx)
}

// CheckMasquerade notes what is missing of an attachment's rules. Without a
// backend in the configuration those of any will do: ADD may have been upstream's,
// which prefers iptables.
func (s *Settings) CheckMasquerade(ctx context.Context, report *check.Report, req *plugin.Request, ips []*current.IPConfig) {
	if !s.IPMasq || len(ips) == 0 {
		return
	}
	differences, err := s.differences(ctx, req.Owner(), addressesOf(ips))
	report.Fail("masquerading", err)
	for _, difference := range differences {
		report.Addf("masquerading: %s", difference)
	}
}

// differences compares the kernel with what the backend writes, and only where
// that is not complete with what another does.
func (s *Settings) differences(ctx context.Context, owner plugin.Owner, addresses []*net.IPNet) ([]string, error) {
	backend, err := netfilter.Select(s.IPMasqBackend)
	if err != nil {
		return nil, err
	}
	differences, err := backend.CheckMasquerade(ctx, owner, addresses)
	if err != nil || len(differences) == 0 || s.IPMasqBackend != "" {
		return differences, err
	}
	for _, name := range netfilter.Names() {
		if name != backend.Name() && masquerades(ctx, name, owner, addresses) {
			return nil, nil
		}
	}
	return differences, nil
}

// masquerades tells whether the rules of a backend are complete. One that cannot
// be asked, for want of a program or in the kernel, has none.
func masquerades(ctx context.Context, name string, owner plugin.Owner, addresses []*net.IPNet) bool {
	backend, err := netfilter.Select(name)
	if err != nil {
		return false
	}
	differences, err := backend.CheckMasquerade(ctx, owner, addresses)
	return err == nil && len(differences) == 0
}

func addressesOf(ips []*current.IPConfig) []*net.IPNet {
	addresses := make([]*net.IPNet, len(ips))
	for i, ip := range ips {
		addresses[i] = &net.IPNet{IP: ip.Address.IP, Mask: ip.Address.Mask}
	}
	return addresses
}
