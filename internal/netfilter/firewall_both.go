// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"

	"github.com/containernetworking/plugins/pkg/plugin"
)

// bothGate is nftGate for a host on which older versions of the plugin have ingress
// policies in iptables, as they do beside firewalld, too. What goes from a bridge
// to another is dropped only where the policies of both are in the same table: so
// they are in both tables.
type bothGate struct{ nftGate }

// Prepared implements Gate.
func (bothGate) Prepared(ctx context.Context, p Passage) error {
	if p.Ingress.Policy == "" {
		return nil
	}
	return iptablesGate{}.Prepared(ctx, p)
}

// Open implements Gate.
func (g bothGate) Open(ctx context.Context, owner plugin.Owner, p Passage) error {
	if err := p.isolateInIPTables(ctx); err != nil {
		return err
	}
	return g.nftGate.Open(ctx, owner, p)
}

// isolateInIPTables starts, for each family of the addresses, one iptables-save
// and, if there is something to do, one iptables-restore.
func (p Passage) isolateInIPTables(ctx context.Context) error {
	if p.Ingress.Policy == "" {
		return nil
	}
	return locked(ctx, func() error {
		for _, f := range families() {
			if len(f.singles(p.Addrs)) == 0 {
				continue
			}
			err := f.changeLocked(ctx, "filter", func(d *draft) error {
				d.setIngress(p.Ingress)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Check implements Gate.
func (g bothGate) Check(ctx context.Context, owner plugin.Owner, p Passage) ([]string, error) {
	differences, err := g.nftGate.Check(ctx, owner, p)
	if err != nil {
		return nil, err
	}
	more, err := p.isolationDifferences(ctx)
	return append(differences, more...), err
}

// isolationDifferences compares iptables with what isolateInIPTables would write.
func (p Passage) isolationDifferences(ctx context.Context) ([]string, error) {
	var differences []string
	for _, f := range families() {
		if p.Ingress.Policy == "" || len(f.singles(p.Addrs)) == 0 {
			continue
		}
		d, err := f.draft(ctx, "filter")
		if err != nil {
			return nil, err
		}
		d.setIngress(p.Ingress)
		differences = append(differences, f.differences(d)...)
	}
	return differences, nil
}

// Restore implements Gate.
func (g bothGate) Restore(ctx context.Context, all []OwnedPassage) ([]plugin.Owner, error) {
	return openEach(ctx, g, all)
}

// Available implements Gate.
func (g bothGate) Available(ctx context.Context, policy string) error {
	err := g.nftGate.Available(ctx, policy)
	if policy == "" {
		return err
	}
	return errors.Join(err, iptablesGate{}.Available(ctx, ""))
}
