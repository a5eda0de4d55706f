// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// All runs with the built-in network share its bridge, its leases, the forwarding switched on for it and the plugins'
// nftables tables. The first run notes what there was before and the last removes the rest: who holds no lease is gone.
// A lock keeps one run from removing what another is just joining.
const (
	lockFile   = "/run/cni-netrun.lock"
	beforeFile = defaultDataDir + "/before"
	leaseDir   = defaultDataDir + "/netrun"
)

// forwardingSettings are switched on by a bridge that is a gateway.
var forwardingSettings = []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"}

// before is what the first run found.
type before struct {
	Bridge     bool
	Tables     []string
	Forwarding map[string]string
}

// lockShared waits until no other run attaches or leaves. Networks from configuration files are not ours to lock.
func (n *networks) lockShared() (release func() error, err error) {
	if !n.builtIn {
		return func() error { return nil }, nil
	}
	for {
		lock, err := os.OpenFile(lockFile, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", lockFile, err), lock.Close())
		}
		if isCurrent(lock) {
			return lock.Close, nil
		}
		// The last run removed the file while we waited for it.
		if err := lock.Close(); err != nil {
			return nil, err
		}
	}
}

// isCurrent says whether the open file is still the one the path leads to.
func isCurrent(file *os.File) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(lockFile)
	return err == nil && os.SameFile(opened, named)
}

// noteBefore writes down, in the first run, what must not be removed.
func (n *networks) noteBefore() error {
	if !n.builtIn {
		return nil
	}
	if _, err := os.Stat(beforeFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	found := before{Bridge: bridgeExists(), Forwarding: map[string]string{}}
	for _, setting := range forwardingSettings {
		if value, err := os.ReadFile(setting); err == nil { // a kernel without IPv6 lacks the second
			found.Forwarding[setting] = string(value)
		}
	}
	tables, err := pluginTables()
	if err != nil {
		return err
	}
	for _, table := range tables {
		found.Tables = append(found.Tables, tableName(table))
	}
	text, err := json.Marshal(found)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(defaultDataDir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(beforeFile, text, 0o600)
}

// removeShared makes the machine what it was, unless another run still uses the network.
func (n *networks) removeShared() error {
	if !n.builtIn {
		return nil
	}
	text, err := os.ReadFile(beforeFile)
	if errors.Is(err, fs.ErrNotExist) {
		return removeExisting(lockFile)
	}
	if err != nil {
		return err
	}
	var found before
	if err := json.Unmarshal(text, &found); err != nil {
		return fmt.Errorf("%s: %w", beforeFile, err)
	}
	if used, err := inUse(); used || err != nil {
		return err
	}
	return errors.Join(removeIdleTables(found.Tables), found.restoreBridge(), os.RemoveAll(defaultDataDir), removeExisting(lockFile))
}

// inUse says whether somebody holds a lease.
func inUse() (bool, error) {
	entries, err := os.ReadDir(leaseDir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return slices.ContainsFunc(entries, func(entry os.DirEntry) bool {
		_, err := netip.ParseAddr(entry.Name())
		return err == nil
	}), err
}

// restoreBridge removes the bridge and switches forwarding back, but not from under a bridge that was there before or
// has ports of somebody else.
func (b before) restoreBridge() error {
	if b.Bridge || !bridgeExists() {
		return nil
	}
	bridge, err := netlinksafe.LinkByName(defaultBridge)
	if err != nil {
		return fmt.Errorf("find %s: %w", defaultBridge, err)
	}
	links, err := netlinksafe.LinkList()
	if err != nil {
		return fmt.Errorf("list the ports of %s: %w", defaultBridge, err)
	}
	if slices.ContainsFunc(links, func(link netlink.Link) bool { return link.Attrs().MasterIndex == bridge.Attrs().Index }) {
		return nil
	}
	if err := netlink.LinkDel(bridge); err != nil {
		return fmt.Errorf("remove %s: %w", defaultBridge, err)
	}
	var errs []error
	for setting, value := range b.Forwarding {
		errs = append(errs, os.WriteFile(setting, []byte(value), 0o644))
	}
	return errors.Join(errs...)
}

func bridgeExists() bool {
	_, err := net.InterfaceByName(defaultBridge)
	return err == nil
}

// pluginTables are the nftables tables of the plugins; a kernel without nftables has none.
func pluginTables() ([]*nftables.Table, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, err
	}
	tables, err := conn.ListTables()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list nftables tables: %w", err)
	}
	return slices.DeleteFunc(tables, func(table *nftables.Table) bool { return !strings.HasPrefix(table.Name, "cni_") }), nil
}

func tableName(table *nftables.Table) string { return fmt.Sprintf("%d/%s", table.Family, table.Name) }

// removeIdleTables removes the tables that were made since and serve nobody: their base chains and sets are shared by
// all attachments and therefore never removed by a plugin.
func removeIdleTables(keep []string) error {
	tables, err := pluginTables()
	if err != nil {
		return err
	}
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	for _, table := range tables {
		idle, err := isIdle(conn, table)
		if err != nil {
			return fmt.Errorf("nftables table %s: %w", table.Name, err)
		}
		if idle && !slices.Contains(keep, tableName(table)) {
			conn.DelTable(table)
		}
	}
	return conn.Flush()
}

// isIdle is true for a table whose sets are empty and whose chains are all called by the kernel.
func isIdle(conn *nftables.Conn, table *nftables.Table) (bool, error) {
	chains, err := conn.ListChainsOfTableFamily(table.Family)
	if err != nil {
		return false, err
	}
	for _, chain := range chains {
		if chain.Table.Name == table.Name && chain.Hooknum == nil {
			return false, nil
		}
	}
	sets, err := conn.GetSets(table)
	if err != nil {
		return false, err
	}
	for _, set := range sets {
		elements, err := conn.GetSetElements(set)
		if err != nil || len(elements) > 0 {
			return false, err
		}
	}
	return true, nil
}

func removeExisting(file string) error {
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
