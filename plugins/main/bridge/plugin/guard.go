// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"context"
	"errors"
	"net"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// guarded is what is kept of an attachment with "macspoofchk", for when somebody
// flushes the rules.
type guarded struct {
	Port string `json:"port"`
	MAC  string `json:"mac"`
}

func guards() intent.Mender[guarded] {
	return intent.Mender[guarded]{
		Store: intent.Of("macspoofchk"),
		What:  "the MAC spoof check",
		Lost: func(ctx context.Context, owner plugin.Owner, was guarded) (bool, error) {
			mac, err := net.ParseMAC(was.MAC)
			if err != nil {
				return false, err
			}
			differences, err := netfilter.CheckMAC(ctx, owner, was.Port, mac)
			return len(differences) > 0, err
		},
		PutBack: func(ctx context.Context, owner plugin.Owner, was guarded) error {
			mac, err := net.ParseMAC(was.MAC)
			if err != nil {
				return err
			}
			return netfilter.GuardMAC(ctx, owner, was.Port, mac)
		},
		Remove: func(ctx context.Context, owner plugin.Owner, _ guarded) error {
			return netfilter.UnguardMAC(ctx, owner)
		},
	}
}

// Heal puts back the MAC spoof checks of live attachments that somebody has
// flushed, see intent.Mender.
func Heal(ctx context.Context) ([]plugin.Owner, error) { return guards().Heal(ctx) }

// TakeBack removes the MAC spoof checks of attachments that are lost, see
// intent.Store.
func TakeBack(ctx context.Context) ([]plugin.Owner, error) { return guards().TakeBack(ctx) }

// guardMAC drops what the container sends from another MAC address than its
// own. It needs no port, and comes before: what the bridge takes in is checked from
// the first frame on.
func guardMAC(ctx context.Context, req *plugin.Request, c *Config, pair *vethpair.Pair) error {
	if !c.MACSpoofCheck {
		return nil
	}
	owner, port, mac := req.Owner(), pair.Host.Attrs().Name, pair.Container.Attrs().HardwareAddr
	req.Undo.Push("MAC guard", func() error { return errors.Join(link.Delete(port), unguard(ctx, owner)) })
	guards().Remember(req, guarded{port, mac.String()})
	return netfilter.HealingFirst(ctx, guards().Others(ctx, req), func(ctx context.Context) error {
		return netfilter.GuardMAC(ctx, owner, port, mac)
	})
}

// unguard removes the MAC guard, whatever the configuration says: it may have
// changed since ADD. It is for when the port is gone: until then the container sends.
func unguard(ctx context.Context, owner plugin.Owner) error {
	return errors.Join(guards().Forget(owner), netfilter.UnguardMAC(ctx, owner))
}
