// SPDX-License-Identifier: Apache-2.0

//go:build linux

package dhcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/containernetworking/plugins/internal/wholefile"
	"github.com/containernetworking/plugins/pkg/plugin"
)

// journal is the directory in which a daemon notes what it holds, for the next
// one: a file for each attachment, written whole or not at all. It belongs to
// one daemon at a time. Nothing in it outlives a boot, and neither does /run. A
// daemon without one has nil, which notes nothing.
type journal struct {
	dir   string
	lock  *os.File
	isNew bool // there was no such directory
}

// record is what a file of the journal says.
type record struct {
	Args   *skel.CmdArgs     `json:"args"`
	Place  place             `json:"place"`
	Grants map[family]*grant `json:"grants"`

	Seen map[family]*sighting `json:"seen,omitempty"`
}

const recordSuffix = ".json"

var errLocked = errors.New("another daemon is running")

// openJournal opens the journal, which is refused if a daemon has it open.
func openJournal(dir string) (*journal, error) {
	isNew, err := makeDir(dir)
	if err != nil {
		return nil, fmt.Errorf("make the journal: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("%w: it has locked the journal %s", errLocked, dir), lock.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the journal %s: %w", dir, err), lock.Close())
	}
	return &journal{dir, lock, isNew}, nil
}

// makeDir makes a directory, and those that it is in. It tells whether it did.
func makeDir(dir string) (isNew bool, err error) {
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o700); err != nil {
		return false, err
	}
	if err := os.Mkdir(dir, 0o700); !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	return false, os.MkdirAll(dir, 0o700) // says so if it is no directory
}

// discard removes the directory if it was made for this daemon, which has had no
// use for it.
func (j *journal) discard() error {
	if j == nil || !j.isNew {
		return nil
	}
	if err := os.Remove(j.dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("remove the journal: %w", err)
	}
	return nil
}

func (j *journal) path(owner plugin.Owner) string {
	return filepath.Join(j.dir, owner.Name("", 40)+recordSuffix)
}

func (j *journal) write(owner plugin.Owner, r record) error {
	if j == nil {
		return nil
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := wholefile.Replace(j.path(owner), string(data), 0o600); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

func (j *journal) remove(owner plugin.Owner) error {
	if j == nil {
		return nil
	}
	if err := os.Remove(j.path(owner)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove from the journal: %w", err)
	}
	return nil
}

// read returns all records. What cannot be read is an error beside them, and
// stays where it is, for somebody to look at.
func (j *journal) read() ([]record, error) {
	if j == nil {
		return nil, nil
	}
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	var records []record
	var errs []error
	for _, entry := range entries {
		path := filepath.Join(j.dir, entry.Name())
		if strings.HasSuffix(path, wholefile.Aside(recordSuffix)) {
			errs = append(errs, os.Remove(path)) // of a daemon that was killed as it wrote
		}
		if !strings.HasSuffix(path, recordSuffix) {
			continue
		}
		r, err := readRecord(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("read the journal: %s: %w", path, err))
			continue
		}
		records = append(records, r)
	}
	return records, errors.Join(errs...)
}

func readRecord(path string) (record, error) {
	var r record
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, err
	}
	if r.Args == nil {
		return r, errors.New("it does not say what it is about")
	}
	return r, nil
}

func (j *journal) Close() error {
	if j == nil {
		return nil
	}
	return j.lock.Close()
}

// recordOf is what to note about an attachment.
func recordOf(a *attachment) record {
	r := record{Args: a.args, Place: a.place, Grants: map[family]*grant{}, Seen: map[family]*sighting{}}
	for _, l := range a.leases {
		if g := l.noted(); g != nil {
			r.Grants[l.family] = g
		}
		if seen := l.sighted(); seen != nil {
			r.Seen[l.family] = seen
		}
	}
	return r
}

// revive makes an attachment of a record. The grants are as good as they were;
// whether the interface is still there, is for the caller to ask. That another
// release of the plugin accepted another configuration must not lose a lease.
func revive(s settings, r record) (*attachment, error) {
	a := newAttachment(s, decodeAnyway(r.Args.StdinData), r.Args)
	a.settle(r.Place)
	a.told = true
	var errs []error
	for _, l := range a.leases {
		l.seen = r.Seen[l.family]
		errs = append(errs, l.revive(r.Grants[l.family]))
	}
	if !slices.Contains(errs, nil) {
		return nil, fmt.Errorf("%s: %w", a.owner.Comment(), errors.Join(errs...))
	}
	if err := errors.Join(errs...); err != nil {
		a.logf("%v; starting over", err)
	}
	return a, nil
}

// revive takes a grant of the journal. Without one that is held the lease is in
// the state in which a server has refused it.
func (l *lease) revive(g *grant) error {
	l.announced.Store(true)
	l.look.Store(true)
	l.revived = true
	if g == nil {
		return fmt.Errorf("%s: the journal has no grant", l.family)
	}
	if g.Lost && len(g.Message) == 0 && len(g.RA) == 0 {
		return nil
	}
	if err := l.family.parse(g, l.identity); err != nil {
		return fmt.Errorf("%s: %w", l.family, err)
	}
	if g.Lost {
		l.set(nil, g)
		return nil
	}
	l.hold(g)
	return nil
}
