// SPDX-License-Identifier: Apache-2.0

//go:build linux

package masquerade

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// intended is what is kept of an attachment, for when somebody flushes the rules.
type intended struct {
	Backend   string        `json:"backend"`
	Addresses []types.IPNet `json:"addresses"`
}

func store() intent.Store { return intent.Of("masquerade") }

func mender() intent.Mender {
	return intent.Mender{
		Store: store(),
		Lost: func(ctx context.Context, i intent.Intent) (bool, error) {
			backend, addresses, err := decode(i)
			if err != nil {
				return false, err
			}
			return backend.LostMasquerade(ctx, i.Owner(), addresses)
		},
		PutBack: func(ctx context.Context, i intent.Intent) error {
			backend, addresses, err := decode(i)
			if err != nil {
				return err
			}
			return backend.Masquerade(ctx, i.Owner(), addresses)
		},
		Remove: func(ctx context.Context, i intent.Intent) error {
			_, addresses, err := decode(i)
			if err != nil {
				return err
			}
			return netfilter.RemoveMasquerade(ctx, i.Owner(), addresses)
		},
	}
}

// Heal puts back the rules of live attachments that somebody has flushed, see
// intent.Mender.
func Heal(ctx context.Context) ([]plugin.Owner, error) { return mender().Heal(ctx) }

// GC completes netfilter.GC: it forgets the attachments that are not valid any
// more, and heals the others.
func GC(ctx context.Context, valid plugin.Attachments) error { return mender().GC(ctx, valid) }

// Forget removes what is kept of an attachment, after its rules.
func Forget(owner plugin.Owner) error { return store().Delete(owner) }

// remember keeps what the rules of the attachment are meant to be. Without it
// they work, but nobody could put them back: that is said, and no reason to fail.
func remember(req *plugin.Request, backend string, addresses []*net.IPNet) error {
	wanted := intended{Backend: backend}
	for _, address := range addresses {
		wanted.Addresses = append(wanted.Addresses, types.IPNet(*address))
	}
	i, err := intent.New(req, wanted)
	if err != nil {
		return err
	}
	if err := store().Put(i); err != nil {
		fmt.Fprintf(os.Stderr, "the masquerading of %s cannot be put back when somebody flushes it: %v\n", req.Owner().Comment(), err)
	}
	return nil
}

func decode(i intent.Intent) (netfilter.Backend, []*net.IPNet, error) {
	var was intended
	if err := json.Unmarshal(i.Content, &was); err != nil {
		return nil, nil, fmt.Errorf("the intent of %s: %w", i.Owner().Comment(), err)
	}
	backend, err := netfilter.Select(was.Backend)
	if err != nil {
		return nil, nil, fmt.Errorf("the intent of %s: %w", i.Owner().Comment(), err)
	}
	var addresses []*net.IPNet
	for _, address := range was.Addresses {
		addresses = append(addresses, (*net.IPNet)(&address))
	}
	return backend, addresses, nil
}

// reportLost says on standard error when rules of nftables have been flushed; for
// those of iptables, programs would have to be started. One attachment stands for
// all: a table is flushed as a whole.
func reportLost(ctx context.Context) {
	for _, i := range store().Samples(backendOf) {
		if backendOf(i) != netfilter.NFTables {
			continue
		}
		if lost, err := mender().Lost(ctx, i); err == nil && lost {
			fmt.Fprintf(os.Stderr, "masquerading was flushed, a GC of its networks puts it back: that of %s is missing\n", i.Owner().Comment())
		}
	}
}

func backendOf(i intent.Intent) string {
	var was intended
	_ = json.Unmarshal(i.Content, &was)
	return was.Backend
}
