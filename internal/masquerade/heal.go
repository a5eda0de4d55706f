// SPDX-License-Identifier: Apache-2.0

//go:build linux

package masquerade

import (
	"context"
	"net"

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

// mender says in the name of a program what does not keep it from mending.
func mender(name string) intent.Mender[intended] {
	return intent.Mender[intended]{
		Store: store(),
		What:  "the masquerading",
		Lost: func(ctx context.Context, owner plugin.Owner, was intended) (bool, error) {
			backend, err := netfilter.Select(was.Backend)
			if err != nil {
				return false, err
			}
			return backend.LostMasquerade(ctx, owner, was.addresses())
		},
		PutBack: func(ctx context.Context, owner plugin.Owner, was intended) error {
			backend, err := netfilter.Select(was.Backend)
			if err != nil {
				return err
			}
			return write(ctx, backend, owner, was.addresses())
		},
		Remove: func(ctx context.Context, owner plugin.Owner, was intended) error {
			return removeRules(ctx, owner, was.addresses())
		},
		Mended: func(restored []intended) { forgetUntranslated(name, restored) },
	}
}

// administration is the program that heals what is no plugin's alone.
const administration = "cni-plugins"

// Heal puts back the rules of live attachments that somebody has flushed, see
// intent.Mender.
func Heal(ctx context.Context) ([]plugin.Owner, error) { return mender(administration).Heal(ctx) }

// TakeBack removes the rules of attachments that are lost, see intent.Store.
func TakeBack(ctx context.Context) ([]plugin.Owner, error) {
	return mender(administration).TakeBack(ctx)
}

// GC completes netfilter.GC: it forgets the attachments that are not valid any
// more, and heals the others.
func GC(ctx context.Context, req *plugin.Request, valid plugin.Attachments) error {
	return mender(req.Plugin).GC(ctx, valid)
}

// Forget removes what is kept of an attachment, before its rules: else somebody
// could put these back.
func Forget(owner plugin.Owner) error { return store().Delete(owner) }

func intend(backend netfilter.Backend, addresses []*net.IPNet) intended {
	wanted := intended{Backend: backend.Name()}
	for _, address := range addresses {
		wanted.Addresses = append(wanted.Addresses, types.IPNet(*address))
	}
	return wanted
}

func (was intended) addresses() []*net.IPNet {
	var addresses []*net.IPNet
	for _, address := range was.Addresses {
		addresses = append(addresses, (*net.IPNet)(&address))
	}
	return addresses
}

// reportLost says on standard error, in the name of a plugin, when rules of nftables
// have been flushed; for those of iptables, programs would have to be started. One
// attachment stands for all: a table is flushed as a whole.
func reportLost(ctx context.Context, name string) {
	m := mender(name)
	backendOf := func(i intent.Intent) string {
		was, _ := m.Content(i)
		return was.Backend
	}
	for _, i := range m.Store.Samples(backendOf) {
		was, err := m.Content(i)
		if err != nil || was.Backend != netfilter.NFTables {
			continue
		}
		if lost, err := m.Lost(ctx, i.Owner(), was); err == nil && lost {
			plugin.Logf(name, "masquerading was flushed, a GC of its networks puts it back: that of %s is missing", i.Owner().Comment())
		}
	}
}
