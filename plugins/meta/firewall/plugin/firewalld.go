// SPDX-License-Identifier: Apache-2.0

//go:build linux

package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	firewalldName = "org.fedoraproject.FirewallD1"
	firewalldPath = "/org/fedoraproject/FirewallD1"
	zoneMethods   = firewalldName + ".zone."
)

// firewalldPatience bounds a conversation with firewalld, which answers late
// while it reloads.
const firewalldPatience = 20 * time.Second

var errNoFirewalld = errors.New("firewalld does not run: install the package firewalld and start it" +
	" (systemctl enable --now firewalld), or choose another backend")

// daemon is a firewalld to talk to, on a bus connection of its own.
type daemon struct {
	ctx  context.Context
	zone dbus.BusObject
}

// withFirewalld calls f with the firewalld of this host. Without a system bus, or
// firewalld on it, it fails with errNoFirewalld.
func withFirewalld(ctx context.Context, f func(daemon) error) error {
	ctx, cancel := context.WithTimeout(ctx, firewalldPatience)
	defer cancel()
	bus, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("%w: %w", errNoFirewalld, err)
	}
	defer bus.Close()
	var owner string
	if err := bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, firewalldName).Store(&owner); err != nil {
		return fmt.Errorf("%w: %w", errNoFirewalld, err)
	}
	return f(daemon{ctx, bus.Object(firewalldName, firewalldPath)})
}

// firewalldRuns tells whether firewalld is on the system bus.
func firewalldRuns(ctx context.Context) bool {
	return withFirewalld(ctx, func(daemon) error { return nil }) == nil
}

// ask calls a method about zones, which is not worth starting firewalld for.
func (d daemon) ask(answer any, method string, args ...any) error {
	err := d.zone.CallWithContext(d.ctx, zoneMethods+method, dbus.FlagNoAutoStart, args...).Store(answer)
	if err != nil {
		return fmt.Errorf("firewalld: %s %v: %w", method, args, err)
	}
	return nil
}

// trust puts an address into a zone. It leaves the one it may be in: a container
// that is gone may have had it.
func (d daemon) trust(zone string, addr netip.Addr) error {
	var now string
	return d.ask(&now, "changeZoneOfSource", zone, source(addr))
}

// restore trusts those of the addresses that are not in the zone, and tells
// whether there were any.
func (d daemon) restore(zone string, addrs []netip.Addr) (moved bool, err error) {
	for _, addr := range addrs {
		now, err := d.zoneOf(addr)
		if err == nil && now != zone {
			moved, err = true, d.trust(zone, addr)
		}
		if err != nil {
			return moved, err
		}
	}
	return moved, nil
}

// distrust takes an address out of whatever zone it is in.
func (d daemon) distrust(addr netip.Addr) error {
	zone, err := d.zoneOf(addr)
	if err != nil || zone == "" {
		return err
	}
	var was string
	err = d.ask(&was, "removeSource", zone, source(addr))
	if err != nil && strings.Contains(err.Error(), "UNKNOWN_SOURCE") {
		return nil // somebody else was faster
	}
	return err
}

// zoneOf returns the zone of an address, or "".
func (d daemon) zoneOf(addr netip.Addr) (zone string, err error) {
	return zone, d.ask(&zone, "getZoneOfSource", source(addr))
}

// source returns an address as firewalld names it.
func source(addr netip.Addr) string { return netip.PrefixFrom(addr, addr.BitLen()).String() }

// hasZone says whether firewalld knows a zone.
func (d daemon) hasZone(zone string) error {
	var zones []string
	if err := d.ask(&zones, "getZones"); err != nil {
		return err
	}
	if !slices.Contains(zones, zone) {
		return fmt.Errorf("firewalldZone: firewalld has no zone %q, it has %s", zone, strings.Join(zones, ", "))
	}
	return nil
}
