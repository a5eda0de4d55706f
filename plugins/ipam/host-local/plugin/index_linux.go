// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containernetworking/plugins/internal/wholefile"
)

const (
	bootLink = "boot" // no hash is called that

	// manyFiles is the target of an owner whose files do not fit into a link.
	manyFiles = "*"

	// maxTarget is what every file system takes as the target of a link; XFS has
	// the lowest limit, 1024.
	maxTarget = 900 // and a home

	// stampAge puts stamps into the past, further than the coarsest time stamps
	// of file systems in use, so that they never equal the present.
	stampAge = 2 * time.Second
)

// errNotIndexed is returned for an owner whose files have to be looked for in
// the network's directory.
var errNotIndexed = errors.New("not in the index")

// index finds the files of an owner, see the package comment.
type index struct {
	dir     string // its own directory
	network string // the directory it is about
}

func newIndex(dataDir, network string) index {
	return index{dir: filepath.Join(dataDir, indexName, network), network: filepath.Join(dataDir, network)}
}

// valid tells whether the index says what is in the network's directory.
func (x index) valid() bool {
	var network, own syscall.Stat_t
	if syscall.Stat(x.network, &network) != nil || syscall.Stat(x.dir, &own) != nil {
		return false
	}
	return network.Mtim == own.Mtim && network.Mtim != network.Ctim
}

// stamp makes the index valid.
func (x index) stamp() error {
	stamp := time.Now().Add(-stampAge)
	// The network's directory comes last: until then, its change is recent.
	if err := os.Chtimes(x.dir, time.Time{}, stamp); err != nil {
		return err
	}
	return os.Chtimes(x.network, time.Time{}, stamp)
}

// files returns the names of owner's files.
func (x index) files(owner string) ([]string, error) {
	target, err := os.Readlink(x.link(owner))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case strings.HasSuffix(target, manyFiles):
		return nil, errNotIndexed
	}
	_, names := parseTarget(target)
	return names, nil
}

// set records the names of owner's files, and their home unless it is empty.
func (x index) set(owner string, names []string, home string) error {
	target := linkTarget(names)
	if home != "" && target != "" {
		target = home + "/" + target
	}
	return replaceLink(x.link(owner), target)
}

// home returns the home that owner's files were written for, and when that was
// noted; an empty one if it is not known.
func (x index) home(owner string) (string, time.Time) {
	info, err := os.Lstat(x.link(owner))
	if err != nil {
		return "", time.Time{}
	}
	target, err := os.Readlink(x.link(owner))
	if err != nil {
		return "", time.Time{}
	}
	home, _ := parseTarget(target)
	return home, info.ModTime()
}

func (x index) link(owner string) string { return filepath.Join(x.dir, linkName(owner)) }

func linkName(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return hex.EncodeToString(sum[:])
}

func linkTarget(names []string) string {
	target := strings.Join(slices.Sorted(slices.Values(names)), "/")
	if len(target) > maxTarget {
		return manyFiles
	}
	return target
}

// parseTarget is the inverse of what set writes.
func parseTarget(target string) (home string, names []string) {
	names = strings.Split(target, "/")
	if isHome(names[0]) {
		return names[0], names[1:]
	}
	return "", names
}

// replaceLink makes path a symbolic link to target, or removes it if there is
// no target.
func replaceLink(path, target string) error {
	if target == "" {
		return ignoreNotExist(os.Remove(path))
	}
	err := os.Symlink(target, path)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

// lists tells whether the index has the reservation, and has been changed later
// than that.
func (x index) lists(r reservation) bool {
	info, err := os.Stat(x.dir)
	if err != nil || r.modified.After(info.ModTime().Add(stampAge)) {
		return false
	}
	names, err := x.files(r.owner)
	return err == nil && slices.Contains(names, r.name)
}

// rebuild makes the index say that each owner has the files listed, and that
// there are no others. It leaves what is right already.
//
// The boot comes first: from here on, nothing that the index lists is of an
// earlier one.
func (x index) rebuild(now boot, files map[string][]string) error {
	if err := os.MkdirAll(x.dir, 0o700); err != nil {
		return err
	}
	if err := x.setBoot(now); err != nil {
		return err
	}
	want := make(map[string]string, len(files))
	for owner, names := range files {
		want[linkName(owner)] = linkTarget(names)
	}
	have, err := readNames(x.dir)
	if err != nil {
		return err
	}
	for _, name := range have {
		path := filepath.Join(x.dir, name)
		if name == bootLink {
			continue
		}
		if target, err := os.Readlink(path); err == nil && saysSame(target, want[name]) {
			delete(want, name)
		} else if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	for name, target := range want {
		if err := os.Symlink(target, filepath.Join(x.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// saysSame tells whether a link lists the files that it should. What their home is
// cannot be found out any more.
func saysSame(target, want string) bool {
	_, names := parseTarget(target)
	return strings.Join(names, "/") == want
}

// remove removes the index as a whole. Whoever is about to write to it, because
// the network is in use again, finds it gone and not in part.
func (x index) remove() error {
	if _, err := os.Lstat(x.dir); err != nil {
		return nil // nor could it be written
	}
	aside := wholefile.Aside(x.dir)
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := ignoreNotExist(os.Rename(x.dir, aside)); err != nil {
		return err
	}
	return os.RemoveAll(aside)
}

// boot returns the boot in which the index was last changed; one that is not
// known, if there is no record.
func (x index) boot() boot {
	record, err := os.Readlink(filepath.Join(x.dir, bootLink))
	if err != nil {
		return boot{}
	}
	return parseBoot(record)
}

func (x index) setBoot(b boot) error {
	path := filepath.Join(x.dir, bootLink)
	if !b.known() {
		return ignoreNotExist(os.Remove(path))
	}
	return replaceLink(path, b.String())
}
