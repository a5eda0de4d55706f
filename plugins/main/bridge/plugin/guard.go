// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/containernetworking/plugins/internal/intent"
	"github.com/containernetworking/plugins/internal/masquerade"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/vethpair"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// guarded is what is kept of an attachment with "macspoofchk", for when somebody
// flushes the rules.
type guarded struct {
	Port string `json:"port"`
	MAC  string `json:"mac"`
}

func guards() intent.Store { return intent.Of("macspoofchk") }

func guardMender() intent.Mender {
	return intent.Mender{
		Store: guards(),
		Lost: func(ctx context.Context, i intent.Intent) (bool, error) {
			port, mac, err := decodeGuard(i)
			if err != nil {
				return false, err
			}
			differences, err := netfilter.CheckMAC(ctx, i.Owner(), port, mac)
			return len(differences) > 0, err
		},
		PutBack: func(ctx context.Context, i intent.Intent) error {
			port, mac, err := decodeGuard(i)
			if err != nil {
				return err
			}
			return netfilter.GuardMAC(ctx, i.Owner(), port, mac)
		},
		Remove: func(ctx context.Context, i intent.Intent) error { return netfilter.UnguardMAC(ctx, i.Owner()) },
	}
}

// Heal puts back the MAC spoof checks of live attachments that somebody has
// flushed, see intent.Mender.
func Heal(ctx context.Context) ([]plugin.Owner, error) { return guardMender().Heal(ctx) }

// guardMAC drops what the container sends from another MAC address than its
// own.
func guardMAC(ctx context.Context, req *plugin.Request, c *Config, pair *vethpair.Pair) error {
	if !c.MACSpoofCheck {
		return nil
	}
	owner, port, mac := req.Owner(), pair.Host.Attrs().Name, pair.Container.Attrs().HardwareAddr
	req.Undo.Push("MAC guard", func() error { return errors.Join(netfilter.UnguardMAC(ctx, owner), guards().Delete(owner)) })
	i, err := intent.New(req, guarded{port, mac.String()})
	if err != nil {
		return err
	}
	if err := guards().Put(i); err != nil { // the guard works without it
		fmt.Fprintf(os.Stderr, "bridge: the MAC spoof check of %s cannot be put back when somebody flushes it: %v\n", owner.Comment(), err)
	}
	noting, flushed := netfilter.NoteFlush(ctx)
	if err := netfilter.GuardMAC(noting, owner, port, mac); err != nil {
		return err
	}
	if flushed() {
		guardMender().HealOthers(ctx, owner)
	}
	return nil
}

func decodeGuard(i intent.Intent) (port string, mac net.HardwareAddr, err error) {
	var was guarded
	err = json.Unmarshal(i.Content, &was)
	if err == nil {
		mac, err = net.ParseMAC(was.MAC)
	}
	if err != nil {
		return "", nil, fmt.Errorf("the intent of %s: %w", i.Owner().Comment(), err)
	}
	return was.Port, mac, nil
}

// removeRules removes masquerading and MAC guard, whatever the configuration says:
// it may have changed since ADD.
func removeRules(ctx context.Context, owner plugin.Owner, known []*net.IPNet) error {
	if err := netfilter.RemoveMasqueradeAndGuard(ctx, owner, known); err != nil {
		return err
	}
	return errors.Join(masquerade.Forget(owner), guards().Delete(owner))
}
