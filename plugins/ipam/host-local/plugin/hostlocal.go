// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/wholefile"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// Plugin is the host-local IPAM plugin.
var Plugin = plugin.New(plugin.Definition[Config]{
	Name:     "host-local",
	Versions: version.All,
	IPAM:     plugin.IsIPAM,
	Args:     []string{"IP"},
	Add:      add,
	Check:    check,
	Del:      del,
	Status:   status,
	GC:       gc,
})

// add reserves one address of every range set.
func add(_ context.Context, req *plugin.Request, c *Config) (*current.Result, error) {
	if err := c.requireRanges(); err != nil {
		return nil, err
	}
	dns, err := readResolvConf(c.IPAM.ResolvConf)
	if err != nil {
		return nil, plugin.WithCode(types.ErrIOFailure, err)
	}
	s, err := c.directory().create()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	s.home = homeAt(req.Raw.Netns, s.bootID)
	a := allocator{
		store:     s,
		undo:      req.Undo,
		container: req.ContainerID,
		owner:     ownerOf(req.ContainerID, req.IfName),
		sets:      c.sets,
	}
	assigned, err := a.allocate(c.requested)
	if err != nil {
		return nil, err
	}
	return &current.Result{IPs: ipConfigs(assigned), Routes: c.IPAM.Routes, DNS: dns}, nil
}

func ipConfigs(assigned []assignment) []*current.IPConfig {
	var ips []*current.IPConfig
	for _, one := range assigned {
		ips = append(ips, &current.IPConfig{
			Address: net.IPNet{
				IP:   one.ip.AsSlice(),
				Mask: net.CIDRMask(one.r.Subnet.Bits(), one.ip.BitLen()),
			},
			Gateway: one.r.Gateway.AsSlice(),
		})
	}
	return ips
}

// check compares prevResult with the reservations. Without one it is content
// with any.
func check(_ context.Context, req *plugin.Request, c *Config) error {
	if err := c.requireRanges(); err != nil {
		return err
	}
	names, err := reservationsOf(req, c)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("Failed to find address added by container %s", req.ContainerID)
	}
	var errs []error
	for _, address := range req.PrevAddresses() {
		ip, _ := netip.AddrFromSlice(address.IP)
		ip = ip.Unmap()
		ours := slices.ContainsFunc(c.sets, func(set RangeSet) bool { return set.contains(ip) })
		if ours && !slices.Contains(names, fileName(ip)) {
			errs = append(errs, fmt.Errorf("the address %s is not reserved for container %s, interface %s", ip, req.ContainerID, req.IfName))
		}
	}
	return errors.Join(errs...)
}

// reservationsOf returns the names of the reservations that the attachment has,
// or else of those that a release before 0.8.0 made for its container.
func reservationsOf(req *plugin.Request, c *Config) ([]string, error) {
	s, err := c.directory().openReadOnly()
	if err != nil {
		return nil, ignoreAbsent(err)
	}
	defer s.Close()
	names, err := s.owned(ownerOf(req.ContainerID, req.IfName))
	if err == nil && len(names) == 0 {
		names, err = s.owned(legacyOwner(req.ContainerID))
	}
	return names, err
}

// del releases every address that the attachment has in the network, whatever
// the configuration says about ranges today.
func del(_ context.Context, req *plugin.Request, c *Config) error {
	s, err := c.directory().openLeft()
	if err != nil {
		return ignoreAbsent(err)
	}
	defer s.Close()
	found, err := s.releaseAll(ownerOf(req.ContainerID, req.IfName))
	if err == nil && !found {
		_, err = s.releaseAll(legacyOwner(req.ContainerID))
	}
	return err
}

// gc releases what belongs to attachments that are no longer valid. What it
// cannot attribute stays.
func gc(_ context.Context, _ *plugin.Request, c *Config, valid plugin.Attachments) error {
	s, err := c.directory().openLeft()
	if err != nil {
		return ignoreAbsent(err)
	}
	defer s.Close()
	if _, err := s.scan(none); err != nil {
		return err
	}
	var errs []error
	for owner, names := range maps.Clone(s.scanned) {
		if !isStale(owner, valid) {
			continue
		}
		for _, name := range names {
			errs = append(errs, s.retire(name, owner))
		}
	}
	s.cooldown().sweep()
	return errors.Join(errs...)
}

func isStale(owner string, valid plugin.Attachments) bool {
	containerID, ifName, ok := parseOwner(owner)
	switch {
	case !ok:
		return false
	case ifName == "":
		return isGenerated(containerID) && !valid.HasContainer(containerID)
	}
	return !valid.Contains(plugin.Owner{Network: valid.Network(), ContainerID: containerID, IfName: ifName})
}

// status tells whether the next ADD would find an address and could reserve it.
func status(_ context.Context, _ *plugin.Request, c *Config) error {
	d := c.directory()
	full, err := d.full(c.sets)
	_, resolvConfErr := readResolvConf(c.IPAM.ResolvConf)
	errs := []error{wholefile.Writable(d.path()), err, resolvConfErr}
	for _, set := range full {
		errs = append(errs, noneAvailable(set, d))
	}
	if err := errors.Join(errs...); err != nil {
		return plugin.Errorf(plugin.ErrNotAvailable, "%w", err)
	}
	return nil
}
