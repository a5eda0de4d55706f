// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containernetworking/plugins/internal/wholefile"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// pointerPrefix is what the names of the files begin with that hold the address
// a range set gave out last.
const pointerPrefix = "last_reserved_ip."

// store is the directory of a network while this process has it locked.
type store struct {
	directory
	lock     *os.File
	readOnly bool
	bootID   string // of the boot that is going on; empty: not known
	home     string // of the container that addresses are reserved for
	index    index
	indexed  bool                // the index says what is in the directory
	changed  bool                // the index has to be stamped
	scanned  map[string][]string // names of files by owner, once all have been read
}

// Close puts the index in order and unlocks the store.
func (s *store) Close() {
	if s.changed && s.indexed {
		s.note(s.index.stamp())
	}
	s.lock.Close()
}

// settle makes sure that the index is right and that reservations of earlier
// boots are gone.
func (s *store) settle() error {
	recorded := s.index.boot()
	s.bootID = s.host.runningID()
	if s.indexed && recorded.id == s.bootID {
		return nil
	}
	_, err := s.scan(s.leftover(recorded, s.host.boot()))
	return err
}

// leftover returns a function that tells reservations of earlier boots from
// others, given the boot in which the index was last changed.
func (s *store) leftover(recorded, now boot) func(reservation) bool {
	restarted := now.restartOf(recorded)
	if restarted && s.indexed {
		return reservation.ofContainer // nobody has changed anything since
	}
	if !now.certain() || recorded.known() && !restarted {
		return none
	}
	started, ok := s.host.started(time.Now())
	return func(r reservation) bool {
		return r.ofContainer() && (ok && r.modified.Before(started) || restarted && s.index.lists(r))
	}
}

func none(reservation) bool { return false }

// scan reads every file, removes reservations that are empty or dead, and
// rebuilds the index. It returns how many it has removed. A store that is read
// only is just read.
func (s *store) scan(dead func(reservation) bool) (freed int, err error) {
	found, err := s.reservations()
	if err != nil {
		return 0, err
	}
	s.scanned = map[string][]string{}
	for _, r := range found {
		if !s.readOnly && (r.owner == "" && removeEmpty(s.file(r.name)) || dead(r) && os.Remove(s.file(r.name)) == nil) {
			freed++
		} else {
			s.scanned[r.owner] = append(s.scanned[r.owner], r.name)
		}
	}
	if freed > 0 {
		logf("network %s: freed %d addresses that were reserved before this machine was started, or have no owner", s.network, freed)
	}
	if !s.readOnly {
		s.rebuildIndex()
	}
	return freed, nil
}

// rebuildIndex makes the index say what the scan has found. An index that
// cannot be written costs time, not correctness: nothing is stamped.
func (s *store) rebuildIndex() {
	err := s.index.rebuild(s.host.boot(), s.scanned)
	s.indexed, s.changed = err == nil, true
	s.note(err)
}

// reservations reads all files that are reservations, or block an address.
func (s *store) reservations() ([]reservation, error) {
	dir, err := os.Open(s.path())
	if err != nil {
		return nil, plugin.IOError(absentIf(err))
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, plugin.IOError(err)
	}
	var found []reservation
	for _, entry := range entries {
		if !entry.Type().IsRegular() || entry.Name() == lockName || strings.HasPrefix(entry.Name(), pointerPrefix) {
			continue
		}
		r, err := readReservation(s.file(entry.Name()))
		if err == nil {
			found = append(found, r)
		} else if !errors.Is(err, fs.ErrNotExist) {
			logf("network %s: left alone: %v", s.network, err)
		}
	}
	return found, nil
}

func (s *store) file(name string) string { return filepath.Join(s.path(), name) }

// reserve writes owner's reservation of ip. It returns false if the address is
// taken.
func (s *store) reserve(ip netip.Addr, owner string) (bool, error) {
	name := fileName(ip)
	err := wholefile.Create(s.file(name), owner, fileMode)
	if errors.Is(err, fs.ErrExist) && removeEmpty(s.file(name)) {
		err = wholefile.Create(s.file(name), owner, fileMode)
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, plugin.IOError(err)
	}
	s.record(owner, name, true)
	return true, nil
}

// release removes the reservation in file name, if it still is owner's.
func (s *store) release(name, owner string) error {
	r, err := readReservation(s.file(name))
	if err != nil {
		return plugin.IOError(ignoreNotExist(err))
	}
	if r.owner != owner {
		return nil
	}
	if err := ignoreNotExist(os.Remove(s.file(name))); err != nil {
		return plugin.IOError(err)
	}
	s.record(owner, name, false)
	return nil
}

// releaseAll removes owner's reservations and tells whether there were any.
func (s *store) releaseAll(owner string) (bool, error) {
	names, err := s.owned(owner)
	errs := []error{err}
	for _, name := range names {
		errs = append(errs, s.retire(name, owner))
	}
	return len(names) > 0, errors.Join(errs...)
}

// retire is release for an address that may have been in use. The one after it
// will be assigned next if it cannot be noted when that was.
func (s *store) retire(name, owner string) error {
	if err := s.release(name, owner); err != nil {
		return err
	}
	if err := s.cooldown().begin(name); err != nil {
		logf("network %s: %s may be assigned again before its cooldown is over: %v", s.network, name, err)
	}
	return nil
}

// owned returns the names of owner's reservations, having looked into them.
func (s *store) owned(owner string) ([]string, error) {
	names, err := s.filesOf(owner)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		r, err := readReservation(s.file(name))
		if err != nil || r.owner != owner {
			// Changed in place, or without the lock: the index has not noticed.
			_, err := s.scan(none)
			return s.scanned[owner], err
		}
	}
	return slices.Clone(names), nil
}

// filesOf returns the names of what should be owner's reservations.
func (s *store) filesOf(owner string) ([]string, error) {
	if s.scanned == nil && s.indexed {
		if names, err := s.index.files(owner); err == nil {
			return names, nil
		}
	}
	if s.scanned == nil {
		if _, err := s.scan(none); err != nil {
			return nil, err
		}
	}
	return s.scanned[owner], nil
}

// record notes that owner has got or lost the file name.
func (s *store) record(owner, name string, reserved bool) {
	s.changed = true
	names, err := s.filesOf(owner)
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
	var home string
	if reserved {
		names, home = append(names, name), s.home
	}
	if s.scanned != nil {
		s.scanned[owner] = names
	}
	if err == nil && s.indexed {
		err = s.index.set(owner, names, home)
	}
	s.indexed = s.indexed && err == nil
	s.note(err)
}

// note tells about an index that could not be written. The command is done
// all the same; the next one will find that the index is not valid.
func (s *store) note(err error) {
	if err != nil {
		logf("network %s: lookups have to read every file: %v", s.network, err)
	}
}

// lastReserved returns the address that range set n gave out last; the zero
// Addr, if there is none or nobody can read it.
func (s *store) lastReserved(n int) (netip.Addr, error) {
	content, err := plainfile.Read(s.file(pointerName(n)))
	if err != nil {
		return netip.Addr{}, ignoreNotExist(err)
	}
	return parsePointer(string(content)), nil
}

// setLastReserved writes in place: a pointer that was torn is worth as much as
// none, and replacing the file would cost more.
func (s *store) setLastReserved(n int, ip netip.Addr) error {
	file, err := plainfile.Open(s.file(pointerName(n)), os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return plugin.IOError(err)
	}
	written, err := file.WriteString(ip.String())
	if info, statErr := file.Stat(); err == nil && (statErr != nil || info.Size() > int64(written)) {
		err = file.Truncate(int64(written))
	}
	return plugin.IOError(errors.Join(err, file.Close()))
}

func pointerName(n int) string { return pointerPrefix + strconv.Itoa(n) }

// parsePointer parses the content of a last_reserved_ip file.
func parsePointer(content string) netip.Addr {
	ip, _ := parseAddress(strings.TrimSpace(content))
	return ip
}

// taken returns all addresses that are reserved.
func (s *store) taken() (map[netip.Addr]bool, error) {
	names, err := readNames(s.path())
	if err != nil {
		return nil, plugin.IOError(err)
	}
	return addresses(names), nil
}

// readNames returns the names of all files in dir, in no order.
func readNames(dir string) ([]string, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return file.Readdirnames(-1)
}
