// SPDX-License-Identifier: Apache-2.0

//go:build linux

package masquerade

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/wholefile"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// With nftables an address belongs to whom it was given last. Networks can have the same
// subnet, and another container the same address: there is an empty file for each
// address of which that has been seen, so that the removal of any owner's gives it to
// another, and the removal of all other addresses costs nothing more.
const sharedDir = "/run/cni/intent/masquerade-shared"

// sharedFile is named as intents are, by the host's network namespace.
func sharedFile(addr netip.Addr) string {
	return filepath.Join(sharedDir, fmt.Sprintf("%d:%s", ns.InodeAt("/proc/thread-self/ns/net"), addr))
}

// write writes the rules of an attachment.
func write(ctx context.Context, backend netfilter.Backend, owner plugin.Owner, addresses []*net.IPNet) error {
	noting := netfilter.NotingTakeovers(ctx, func(addr netip.Addr) {
		if err := noteShared(addr); err != nil {
			plugin.Logf(administration, "when %s goes, others with the address %s will lack masquerading: %v", owner.Comment(), addr, err)
		}
	})
	return backend.Masquerade(noting, owner, addresses)
}

func noteShared(addr netip.Addr) error {
	if err := os.MkdirAll(sharedDir, 0o700); err != nil {
		return err
	}
	return wholefile.Replace(sharedFile(addr), "", 0o600)
}

// removeRules removes the rules of an attachment that has no intent any more, or a
// retired one. Others who have one of its addresses get theirs.
func removeRules(ctx context.Context, owner plugin.Owner, addresses []*net.IPNet) error {
	err := netfilter.RemoveMasquerade(ctx, owner, addresses)
	var shared []netip.Addr
	for _, address := range addresses {
		addr, _ := netip.AddrFromSlice(address.IP)
		if _, err := os.Lstat(sharedFile(addr.Unmap())); err == nil {
			shared = append(shared, addr.Unmap())
		}
	}
	if len(shared) > 0 {
		giveToOthers(ctx, owner, shared)
	}
	return err
}

// giveToOthers keeps what is known of an address if it goes on being shared. To forget
// it comes first: what another notes meanwhile stays.
func giveToOthers(ctx context.Context, owner plugin.Owner, addrs []netip.Addr) {
	for _, addr := range addrs {
		_ = os.Remove(sharedFile(addr))
		if len(othersWith(owner, addr)) > 1 {
			_ = noteShared(addr)
		}
	}
	if _, err := Heal(ctx); err != nil {
		plugin.Logf(administration, "others with an address of %s may lack masquerading: %v", owner.Comment(), err)
	}
}

// othersWith returns the live attachments beside the owner's that have an address.
func othersWith(owner plugin.Owner, addr netip.Addr) []plugin.Owner {
	m := mender(administration)
	var others []plugin.Owner
	for _, i := range m.Store.Alive() {
		was, _ := m.Content(i) // whoever wrote something else is not believed
		has := slices.ContainsFunc(was.Addresses, func(address types.IPNet) bool { return address.IP.Equal(addr.AsSlice()) })
		if has && i.Owner() != owner {
			others = append(others, i.Owner())
		}
	}
	return others
}
