// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/utils"

	"github.com/containernetworking/plugins/internal/netnsalive"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// reclaims returns what frees addresses that nobody has, for when there is no
// other, the cheap first. Each says how many it has freed.
func (s *store) reclaims() []func() (int, error) {
	return []func() (int, error){
		func() (int, error) { return s.scan(none) }, // what a crash has left empty
		s.reclaim,
	}
}

// Reclaim frees the addresses of containers that no DEL came for, of all networks in
// dataDir. What it frees, and what may not be freed, it says on standard error.
func Reclaim(dataDir string) error {
	entries, err := os.ReadDir(dataDir)
	if err != nil {
		return ignoreNotExist(err)
	}
	var errs []error
	for _, entry := range entries {
		if d := newDirectory(dataDir, entry.Name()); d.exists() {
			errs = append(errs, d.reclaim())
		}
	}
	return errors.Join(errs...)
}

// exists tells whether it is the directory of a network that was used.
func (d directory) exists() bool {
	_, err := os.Lstat(filepath.Join(d.path(), lockName))
	return err == nil && utils.ValidateNetworkName(d.network) == nil
}

func (d directory) reclaim() error {
	s, err := d.open()
	if err != nil {
		return ignoreAbsent(err)
	}
	defer s.Close()
	var errs []error
	for _, reclaim := range s.reclaims() {
		_, err := reclaim()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// reclaim frees the addresses of containers that no DEL came for: those whose
// network namespace does not exist any more. All files have been read.
func (s *store) reclaim() (freed int, err error) {
	homes := map[string]netnsalive.ID{}
	for owner, names := range s.scanned {
		if netns := s.netnsOf(owner, names); netns.Inode != 0 {
			homes[owner] = netns
		}
	}
	lost, err := netnsalive.Gone(homes)
	if err != nil {
		logf("network %s: addresses of containers that are gone, if there are any, stay reserved: %v", s.network, err)
		return 0, nil
	}
	var errs []error
	for _, owner := range lost {
		containerID, ifName, _ := parseOwner(owner)
		if why := inUse(plugin.Owner{Network: s.network, ContainerID: containerID, IfName: ifName}); why != "" {
			logf("network %s: %v stay reserved for interface %s of container %s, which is gone: %s", s.network, s.scanned[owner], ifName, containerID, why)
			continue
		}
		for _, name := range slices.Clone(s.scanned[owner]) {
			logf("network %s: freed %s, which interface %s of container %s had: there is no network namespace of it any more", s.network, name, ifName, containerID)
			errs = append(errs, s.retire(name, owner))
			freed++
		}
	}
	return freed, errors.Join(errs...)
}

// lost tells whether the network namespace that owner's addresses were reserved for
// does not exist any more.
func (s *store) lost(owner string) bool {
	names, err := s.owned(owner)
	netns := s.netnsOf(owner, names)
	if err != nil || netns.Inode == 0 {
		return false
	}
	gone, err := netnsalive.Gone(map[string]netnsalive.ID{owner: netns})
	return err == nil && len(gone) > 0
}

// netnsOf returns the ID of the network namespace that owner's addresses, in files
// called names, were reserved for, or the zero ID. What somebody has written since,
// who does not note it, may be for another one.
func (s *store) netnsOf(owner string, names []string) netnsalive.ID {
	home, noted := s.index.home(owner)
	netns := netnsIn(home, s.bootID)
	if netns.Inode == 0 || !(reservation{owner: owner}).ofContainer() {
		return netnsalive.ID{}
	}
	for _, name := range names {
		info, err := os.Lstat(s.file(name))
		if err != nil || info.ModTime().After(noted) {
			return netnsalive.ID{}
		}
	}
	return netns
}

// A home is the network namespace that CNI_NETNS names in an ADD, in a boot of one
// machine: machines may share the directory. It is written "<ID>@<boot id>".
func isHome(text string) bool { return strings.HasPrefix(text, "net:[") }

// homeAt returns the home at a path, or nothing if there is none.
func homeAt(path, bootID string) string {
	netns := netnsalive.At(path)
	if netns.Inode == 0 || bootID == "" {
		return ""
	}
	return netns.String() + "@" + bootID
}

// netnsIn returns the namespace of a home of this boot, or the zero ID.
func netnsIn(home, bootID string) netnsalive.ID {
	netns, ok := strings.CutSuffix(home, "@"+bootID)
	if !ok {
		return netnsalive.ID{}
	}
	return netnsalive.ParseID(netns)
}
