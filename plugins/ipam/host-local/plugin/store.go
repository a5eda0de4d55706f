// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"

	"github.com/containernetworking/plugins/pkg/plugin"
)

const (
	lockName      = "lock"
	pointerPrefix = "last_reserved_ip."
	indexName     = ".cni-index" // no network is called that

	directoryMode = 0o755
	lockMode      = 0o750
	fileMode      = 0o600

	// maxContent is more than any reservation can have: the longest environment
	// variable, and then some.
	maxContent = 256 << 10
)

// directory says where the reservations of one network are.
type directory struct {
	dataDir, network string
	host             host
}

func newDirectory(dataDir, network string) directory {
	return directory{dataDir, network, thisHost()}
}

func (d directory) path() string { return filepath.Join(d.dataDir, d.network) }

// create opens the directory's store and makes the directory if need be.
func (d directory) create() (*store, error) {
	s, err := d.open()
	if !errors.Is(err, errAbsent) {
		return s, err
	}
	if err := os.MkdirAll(d.path(), directoryMode); err != nil {
		return nil, ioError(err)
	}
	return d.open()
}

// errAbsent says that nothing can have been reserved in a network, because its
// directory does not or cannot exist.
var errAbsent = errors.New("nothing has been reserved in the network")

// open opens the directory's store for changes. It fails with errAbsent rather
// than create anything.
func (d directory) open() (*store, error) {
	s, err := d.openReadOnly()
	if err != nil {
		return nil, err
	}
	s.readOnly = false
	if err := s.settle(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// openReadOnly opens the directory's store for looking things up.
func (d directory) openReadOnly() (*store, error) {
	lock, err := acquire(filepath.Join(d.path(), lockName))
	if isAbsent(err) {
		return nil, fmt.Errorf("%w: %w", errAbsent, err)
	}
	if err != nil {
		return nil, ioError(err)
	}
	index := newIndex(d.dataDir, d.network)
	return &store{directory: d, lock: lock, index: index, indexed: index.valid(), readOnly: true}, nil
}

// release removes owner's reservation of ip, if there is one.
func (d directory) release(ip netip.Addr, owner string) error {
	s, err := d.open()
	if err != nil {
		return ignoreAbsent(err)
	}
	defer s.Close()
	return s.release(fileName(ip), owner)
}

// acquire opens and locks a file, waiting until nobody else has it locked.
func acquire(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, lockMode)
		if err != nil {
			return nil, err
		}
		if err := lockFile(file); err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		if isFileAt(path, file) {
			return file, nil
		}
		// Somebody removed the file while we waited, and others lock another.
		file.Close()
	}
}

func isFileAt(path string, file *os.File) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	ours, err := file.Stat()
	return err == nil && os.SameFile(ours, there)
}

// store is the directory of a network while this process has it locked.
type store struct {
	directory
	lock     *os.File
	readOnly bool
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
	if s.indexed && s.host.running(recorded) {
		return nil
	}
	_, err := s.scan(s.leftover(recorded, s.host.boot()))
	return err
}

// leftover returns a function that tells reservations of earlier boots from
// others, given the boot in which the index was stamped last.
func (s *store) leftover(recorded, now boot) func(reservation) bool {
	restarted := now.restartOf(recorded)
	if restarted && s.indexed {
		return reservation.ofContainer // nobody has changed anything since
	}
	if !now.known() || recorded.known() && !restarted {
		return none
	}
	started, ok := s.host.started(time.Now())
	if !ok {
		return none
	}
	return func(r reservation) bool { return r.ofContainer() && r.modified.Before(started) }
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
	err := s.index.rebuild(s.scanned)
	if err == nil {
		err = s.index.setBoot(s.host.boot())
	}
	s.indexed, s.changed = err == nil, true
	s.note(err)
}

// reservations reads all files that are reservations, or block an address.
func (s *store) reservations() ([]reservation, error) {
	dir, err := os.Open(s.path())
	if err != nil {
		return nil, ioError(err)
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, ioError(err)
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

// reservation is a file of the directory that reserves an address.
type reservation struct {
	name     string // of the file
	owner    string // its content, without white space around it
	modified time.Time
}

// ownerOf returns what the reservations of an attachment contain.
func ownerOf(containerID, ifName string) string {
	return strings.TrimSpace(containerID) + "\r\n" + ifName
}

// legacyOwner returns what releases before 0.8.0 wrote for a container.
func legacyOwner(containerID string) string { return strings.TrimSpace(containerID) }

// parseOwner takes the content of a reservation apart. ifName is empty for one
// made by a release before 0.8.0; ok is false if no release has written this.
func parseOwner(owner string) (containerID, ifName string, ok bool) {
	containerID, ifName, pair := strings.Cut(owner, "\r\n")
	if utils.ValidateContainerID(containerID) != nil {
		return "", "", false
	}
	if pair && utils.ValidateInterfaceName(ifName) != nil {
		return "", "", false
	}
	return containerID, ifName, true
}

// ofContainer tells whether a container has made the reservation. The format
// of releases before 0.8.0 does not count: it is a single word, which somebody
// may have written to keep the address out of use.
func (r reservation) ofContainer() bool {
	_, ifName, ok := parseOwner(r.owner)
	return ok && ifName != ""
}

// readReservation reads the reservation at path.
func readReservation(path string) (reservation, error) {
	file, err := os.Open(path)
	if err != nil {
		return reservation{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return reservation{}, err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxContent))
	return reservation{info.Name(), strings.TrimSpace(string(content)), info.ModTime()}, err
}

// reserve writes owner's reservation of ip. It returns false if the address is
// taken.
func (s *store) reserve(ip netip.Addr, owner string) (bool, error) {
	name := fileName(ip)
	err := createWhole(s.file(name), owner)
	if errors.Is(err, fs.ErrExist) && removeEmpty(s.file(name)) {
		err = createWhole(s.file(name), owner)
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, ioError(err)
	}
	s.record(owner, name, true)
	return true, nil
}

// removeEmpty removes a reservation without an owner: nobody else is about to
// write it, for we have the lock.
func removeEmpty(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == 0 && os.Remove(path) == nil
}

// createExclusively is createWhole where the system cannot do better.
func createExclusively(path, content string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// release removes the reservation in file name, if it still is owner's.
func (s *store) release(name, owner string) error {
	r, err := readReservation(s.file(name))
	if err != nil {
		return ioError(ignoreNotExist(err))
	}
	if r.owner != owner {
		return nil
	}
	if err := ignoreNotExist(os.Remove(s.file(name))); err != nil {
		return ioError(err)
	}
	s.record(owner, name, false)
	return nil
}

// releaseAll removes owner's reservations and tells whether there were any.
func (s *store) releaseAll(owner string) (bool, error) {
	names, err := s.owned(owner)
	errs := []error{err}
	for _, name := range names {
		errs = append(errs, s.release(name, owner))
	}
	return len(names) > 0, errors.Join(errs...)
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
	if reserved {
		names = append(names, name)
	}
	if s.scanned != nil {
		s.scanned[owner] = names
	}
	if err == nil && s.indexed {
		err = s.index.set(owner, names)
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
	content, err := os.ReadFile(s.file(pointerName(n)))
	if err != nil {
		return netip.Addr{}, ignoreNotExist(err)
	}
	return parsePointer(string(content)), nil
}

// setLastReserved writes in place: a pointer that was torn is worth as much as
// none, and replacing the file would cost more.
func (s *store) setLastReserved(n int, ip netip.Addr) error {
	file, err := os.OpenFile(s.file(pointerName(n)), os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return ioError(err)
	}
	written, err := file.WriteString(ip.String())
	if info, statErr := file.Stat(); err == nil && (statErr != nil || info.Size() > int64(written)) {
		err = file.Truncate(int64(written))
	}
	return ioError(errors.Join(err, file.Close()))
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
		return nil, ioError(err)
	}
	return addresses(names), nil
}

// addresses returns the addresses that files of the given names reserve.
func addresses(names []string) map[netip.Addr]bool {
	taken := make(map[netip.Addr]bool, len(names))
	for _, name := range names {
		if ip, ok := parseFileName(name); ok {
			taken[ip] = true
		}
	}
	return taken
}

// fileName returns the name of the file that reserves ip.
func fileName(ip netip.Addr) string { return escape(runtime.GOOS, ip.String()) }

// parseFileName is the inverse of fileName.
func parseFileName(name string) (netip.Addr, bool) { return parseAddress(unescape(runtime.GOOS, name)) }

// escape makes a file name of an address. Windows has no colons in names.
func escape(goos, name string) string {
	if goos == "windows" {
		return strings.ReplaceAll(name, ":", "_")
	}
	return name
}

func unescape(goos, name string) string {
	if goos == "windows" {
		return strings.ReplaceAll(name, "_", ":")
	}
	return name
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

// isAbsent tells whether err says that there is no such file, nor can be one
// as long as its path means what it means now.
func isAbsent(err error) bool {
	for _, reason := range []error{syscall.ENOENT, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.EINVAL} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return errors.Is(err, fs.ErrNotExist)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, errAbsent) {
		return nil
	}
	return err
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func ioError(err error) error { return plugin.WithCode(types.ErrIOFailure, err) }

// logf writes a line for the node's administrator. Runtimes keep it.
func logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "host-local: "+format+"\n", args...)
}
