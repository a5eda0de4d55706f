// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/masqrules"
)

// Names of the backends, as configurations spell them.
const (
	NFTables = "nftables"
	IPTables = "iptables"
)

// Names returns the names that Select knows, for the validation of configurations.
func Names() []string { return []string{NFTables, IPTables} }

// Backend is what the plugins ask of netfilter.
type Backend interface {
	// Name returns the backend's name.
	Name() string

	// Masquerade lets traffic from addrs leave the host under the host's own
	// address, unless it goes to a subnet of addrs or is multicast. It
	// replaces what the owner had in this backend, and takes addresses over
	// from owners that are gone. Doing it again changes nothing.
	Masquerade(ctx context.Context, owner plugin.Owner, addrs []*net.IPNet) error

	// CheckMasquerade says where the kernel differs from what Masquerade
	// would write. What another owner has in its place, for the same subnets,
	// does not differ: whoever came last has an address.
	CheckMasquerade(ctx context.Context, owner plugin.Owner, addrs []*net.IPNet) (differences []string, err error)

	// LostMasquerade tells whether rules of Masquerade are missing. What another
	// owner has in its place is not.
	LostMasquerade(ctx context.Context, owner plugin.Owner, addrs []*net.IPNet) (bool, error)

	// Available says what the backend is missing on this host and where to
	// get it, or returns nil.
	Available(ctx context.Context) error
}

// Select returns the backend of that name. An empty name stands for nftables
// where the kernel has it, otherwise iptables.
func Select(name string) (Backend, error) { return selectBackend(name) }

// wholeBackend is what each backend is.
type wholeBackend interface {
	Backend
	PortMapper
}

func selectBackend(name string) (wholeBackend, error) {
	switch name {
	case NFTables:
		return nftBackend{}, nil
	case "":
		if kernelHasNFTables() {
			return nftBackend{}, nil
		}
		return iptablesBackend{}, nil
	case IPTables:
		return iptablesBackend{}, nil
	}
	return nil, fmt.Errorf("%q is not one of %s, %s", name, NFTables, IPTables)
}

// kernelHasNFTables asks the kernel over netlink, for the number of its current
// ruleset: see conn.generation. Lacking permission says nothing about the
// kernel: whoever uses the backend reports it.
func kernelHasNFTables() bool {
	conn, err := netlinksafe.DialProtocol(unix.NETLINK_NETFILTER)
	if err != nil {
		return !errors.Is(explain(err), errNoNFTables)
	}
	defer conn.Close()
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0)
	request.AddRawData(nfgenmsg(nftables.TableFamilyUnspecified))
	_, err = conn.Execute(request)
	return !isUnknown(err)
}

// RemoveMasquerade removes what any backend, and any older version of the
// plugins, has written for the owner. Known are the addresses of the attachment,
// as far as they are known: the attachments of one container to one network
// share their iptables chain, and only the addresses tell them apart. Without
// any, that chain stays as it is: see PruneMasquerade.
//
// A missing backend, table or program is no error: without iptables-legacy, what
// the kernel still holds of its rules stays, and nobody could wait for more. It
// goes on after an error.
func RemoveMasquerade(ctx context.Context, owner plugin.Owner, known []*net.IPNet) error {
	err := ifNFTables(ctx, func(c *conn) error { return removeNFTMasquerade(ctx, c, owner, known) })
	return errors.Join(err, removeLegacyMasquerade(ctx, owner, known))
}

func removeNFTMasquerade(ctx context.Context, c *conn, owner plugin.Owner, known []*net.IPNet) error {
	var errs []error
	for _, f := range families() {
		errs = append(errs, f.registry().remove(ctx, c, owner.Comment(), f.pairs(known)))
		if len(known) > 0 {
			errs = append(errs, f.removeFromNFT(ctx, c, masqueradeChain(owner), f.without(known)))
		}
	}
	upstream, err := c.hasTable(masqrules.Table())
	if upstream {
		err = masqrules.Remove(owner.Network, owner.IfName, owner.ContainerID)
	}
	return errors.Join(append(errs, err)...)
}

func removeLegacyMasquerade(ctx context.Context, owner plugin.Owner, known []*net.IPNet) error {
	if len(known) == 0 {
		return nil
	}
	return forEachFamily(func(f family) error { return f.removeFromLegacy(ctx, masqueradeChain(owner), f.without(known)) })
}

// PruneMasquerade removes what iptables holds for addresses of the owner's
// container, in the owner's network, that are not among the living: those its
// other attachments have. It is for attachments whose addresses nobody knows any more.
// Without living addresses all goes.
func PruneMasquerade(ctx context.Context, owner plugin.Owner, living []*net.IPNet) error {
	chain := masqueradeChain(owner)
	errs := []error{ifNFTables(ctx, func(c *conn) error {
		var errs []error
		for _, f := range families() {
			errs = append(errs, f.removeFromNFT(ctx, c, chain, f.only(living)))
		}
		return errors.Join(errs...)
	})}
	errs = append(errs, forEachFamily(func(f family) error { return f.removeFromLegacy(ctx, chain, f.only(living)) }))
	return errors.Join(errs...)
}

// GC removes what attachments of the network that are not valid any more have
// left, in the shapes that RemoveMasquerade and UnguardMAC remove. It touches
// nothing that might be another network's, and goes on after an error.
func GC(ctx context.Context, attachments plugin.Attachments) error {
	errs := []error{ifNFTables(ctx, func(c *conn) error {
		var errs []error
		for _, f := range families() {
			errs = append(errs, f.registry().gc(ctx, c, attachments), f.gcNFT(ctx, c, attachments))
		}
		return errors.Join(append(errs, spoofCheck().gc(ctx, c, attachments), masqrules.GC(attachments.Network(), gcAttachments(attachments)))...)
	})}
	errs = append(errs, forEachFamily(func(f family) error { return f.gcLegacy(ctx, attachments) }))
	return errors.Join(errs...)
}

func gcAttachments(attachments plugin.Attachments) []types.GCAttachment {
	var list []types.GCAttachment
	for _, owner := range attachments.Owners() {
		list = append(list, types.GCAttachment{ContainerID: owner.ContainerID, IfName: owner.IfName})
	}
	return list
}
