// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/containernetworking/plugins/internal/filelock"
	"github.com/containernetworking/plugins/internal/wholefile"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

const (
	lockName  = "lock"
	indexName = ".cni-index" // no network is called that

	directoryMode = 0o755
	lockMode      = 0o750
)

// directory says where the reservations of one network are.
type directory struct {
	dataDir, network string
	rest             time.Duration // of addresses that are released, see cooldown
	host             host
}

func newDirectory(dataDir, network string) directory {
	return directory{dataDir: dataDir, network: network, host: thisHost()}
}

func (d directory) path() string { return filepath.Join(d.dataDir, d.network) }

// create opens the directory's store and makes the directory if need be.
func (d directory) create() (*store, error) {
	const attempts = 10 // somebody may remove the directory while we wait for its lock
	s, err := d.open()
	for i := 0; i < attempts && errors.Is(err, errAbsent); i++ {
		if err := os.MkdirAll(d.path(), directoryMode); err != nil {
			return nil, plugin.IOError(err)
		}
		s, err = d.open()
	}
	return s, err
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

// openLeft is open for removing things. Of a network whose directory is gone it
// removes what there is beside it.
func (d directory) openLeft() (*store, error) {
	s, err := d.open()
	if !errors.Is(err, errAbsent) {
		return s, err
	}
	if removeErr := newIndex(d.dataDir, d.network).remove(); removeErr != nil {
		logf("network %s: the index of a directory that is gone stays: %v", d.network, removeErr)
	}
	d.cooldown().sweep()
	return nil, err
}

// openReadOnly opens the directory's store for looking things up.
func (d directory) openReadOnly() (*store, error) {
	lock, err := acquire(filepath.Join(d.path(), lockName))
	if err != nil {
		return nil, plugin.IOError(err)
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
		file, err := plainfile.Open(path, os.O_CREATE|os.O_RDONLY, lockMode)
		if err != nil {
			return nil, absentIf(err)
		}
		if err := filelock.Lock(file.Fd()); err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		if isAt(path, file) {
			return file, nil
		}
		// Somebody removed or moved the file, perhaps with its directory, while we
		// waited, and others lock a new one.
		file.Close()
	}
}

// isAt tells whether the file at path still is the one that is open.
func isAt(path string, file *os.File) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}

// absentIf makes errAbsent of an error that says so.
func absentIf(err error) error {
	if wholefile.IsAbsent(err) {
		return fmt.Errorf("%w: %w", errAbsent, err)
	}
	return err
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

// logf writes a line for the node's administrator.
func logf(format string, args ...any) { plugin.Logf("host-local", format, args...) }
