// SPDX-License-Identifier: Apache-2.0

package flannel

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/plugins/internal/wholefile"
	"github.com/containernetworking/plugins/pkg/plugin"
)

const (
	recordMode = 0o600
	dirMode    = 0o700

	// A record is <container id>@<interface>@<network>.json. Of the three, only
	// the interface may have an "@" in its name.
	separator = "@"
	suffix    = ".json"
)

// record says where the record of an attachment is.
type record struct {
	dir string
	plugin.Owner
}

// record returns that of an attachment. A container of a Windows pod without a
// namespace of its own is attached through that of its sandbox.
func (c *Config) record(req *plugin.Request) record {
	owner := req.Owner()
	if onWindows() {
		owner.ContainerID = sandboxOf(req.Netns.Path(), owner.ContainerID)
	}
	return record{c.dataDir(), owner}
}

// sandboxOf returns the id of the sandbox, which CNI_NETNS names for the
// containers that share it: "container:<id>".
func sandboxOf(netns, containerID string) string {
	if _, sandbox, ok := strings.Cut(netns, ":"); ok {
		return sandbox
	}
	return containerID
}

func (r record) path() string {
	return filepath.Join(r.dir, r.ContainerID+separator+r.IfName+separator+r.Network+suffix)
}

// legacy is the name that flannel's own plugin knows the container's record by.
func (r record) legacy() string { return filepath.Join(r.dir, r.ContainerID) }

// usual is the interface of nearly every container that flannel's own plugin has
// served. Its records do not name it.
const usual = "eth0"

// load returns what was delegated for the attachment, or nil if nothing is.
func (r record) load(req *plugin.Request) (*delegation, error) {
	found, err := read(r.path())
	if found != nil || err != nil {
		return found, err
	}
	if isLink(r.legacy()) { // another interface's
		return nil, nil
	}
	found, err = read(r.legacy())
	if err != nil || found == nil || !found.of(r.Network) {
		return nil, err
	}
	found.legacy = true
	found.doubtful = r.IfName != usual && !onWindows() && !isThere(req)
	return found, nil
}

// isThere tells whether the container has the interface.
func isThere(req *plugin.Request) bool {
	err := req.Netns.Do(func() error {
		_, err := net.InterfaceByName(req.IfName)
		return err
	})
	return err == nil
}

// read returns what was delegated according to a file; nil if there is none. A
// file that makes no sense, as a full disk may leave it, leads to no delegate.
func read(path string) (*delegation, error) {
	stdin, err := os.ReadFile(path)
	if wholefile.IsAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var config map[string]any
	decoder := json.NewDecoder(bytes.NewReader(stdin))
	decoder.UseNumber()
	_ = decoder.Decode(&config) // what cannot be decoded has no type
	return newDelegation(stdin, config), nil
}

// of tells whether the delegation is of a network. One that cannot be decoded
// may be of any.
func (d *delegation) of(network string) bool {
	return !d.Configured() || text(d.config, "name") == network
}

// save writes what is to be delegated, and makes sure that it will be there
// after a power failure: an IPAM plugin may have given an address away for good.
func (r record) save(d *delegation) error {
	if err := os.MkdirAll(r.dir, dirMode); err != nil {
		return err
	}
	if err := wholefile.Replace(r.path(), string(d.stdin), recordMode); err != nil {
		return err
	}
	// Best effort: the link is for a plugin that is not in use now, and Windows
	// does not let everybody make one.
	_ = os.Symlink(filepath.Base(r.path()), r.legacy())
	return sync(r.path())
}

func sync(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// restore undoes a save over what load returned.
func (r record) restore(before *delegation) error {
	if before.legacy {
		return r.remove()
	}
	return r.save(before)
}

// detach has the delegate remove what it has made, and forgets about it if that
// succeeded. By a record in doubt the delegate finds what the attachment has, if
// anything; the interface that it may be of is still to be detached by it, and
// GC removes it along with the container.
func (r record) detach(ctx context.Context, d *delegation) error {
	if !d.Configured() {
		plugin.Logf("flannel", "the record of container %s, interface %s names no delegate: nothing can be removed", r.ContainerID, r.IfName)
	}
	if err := d.Del(ctx); err != nil {
		return fmt.Errorf("delegate: %w", err)
	}
	switch {
	case d.doubtful:
		return nil
	case d.legacy:
		return errors.Join(plugin.IOError(wholefile.Remove(r.legacy())), r.remove())
	}
	return r.remove()
}

// takeBack undoes an ADD that failed. A delegate whose IPAM plugin is not there refuses
// to begin, and to remove anything: there is nothing, and the record would stay for ever.
func (r record) takeBack(ctx context.Context, d *delegation) error {
	err := r.detach(ctx, d)
	if err != nil && d.locateIPAM() != nil {
		return r.remove()
	}
	return err
}

// remove removes the record and the link that is made along with it, the record
// last.
func (r record) remove() error {
	var err error
	if target, _ := os.Readlink(r.legacy()); target == filepath.Base(r.path()) {
		err = wholefile.Remove(r.legacy())
	}
	return plugin.IOError(errors.Join(err, wholefile.Remove(r.path())))
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// staleRecord is a record that GC has found.
type staleRecord struct {
	record
	delegated *delegation
}

// records returns the records of a network, those of flannel's own plugin among
// them. One that makes no sense is of a network only if its name says so.
func (c *Config) records(network string) ([]staleRecord, error) {
	entries, err := os.ReadDir(c.dataDir())
	if err != nil && !wholefile.IsAbsent(err) {
		return nil, err
	}
	var found []staleRecord
	var errs []error
	for _, entry := range entries {
		r, ok := parseRecordName(c.dataDir(), network, entry.Name())
		if !ok || !entry.Type().IsRegular() {
			continue
		}
		delegated, err := read(filepath.Join(c.dataDir(), entry.Name()))
		errs = append(errs, err)
		if delegated != nil && (delegated.Configured() || r.IfName != "") && delegated.of(network) {
			found = append(found, staleRecord{r, delegated})
		}
	}
	return found, errors.Join(errs...)
}

// parseRecordName is the inverse of record.path and record.legacy for a record
// of the network, or one of old of any network; one that was to be replaced as
// its writer was killed counts, too.
func parseRecordName(dir, network, name string) (record, bool) {
	container, ifName, ok := strings.Cut(name, separator)
	if ok {
		ifName, ok = strings.CutSuffix(strings.TrimSuffix(ifName, wholefile.Aside("")), separator+network+suffix)
		return record{dir, plugin.Owner{Network: network, ContainerID: container, IfName: ifName}}, ok
	}
	return record{dir, plugin.Owner{Network: network, ContainerID: name}}, true
}

// validIn tells whether GC has to spare the record. One of flannel's own plugin
// does not name its interface: it belongs to the container.
func (s staleRecord) validIn(valid plugin.Attachments) bool {
	if s.IfName == "" {
		return valid.HasContainer(s.ContainerID)
	}
	return valid.Contains(s.Owner)
}

// collect has the delegate detach what nobody else will.
func (s staleRecord) collect(ctx context.Context) error {
	if !s.delegated.Configured() {
		return s.remove() // nobody knows what was delegated
	}
	if err := s.delegated.DelFor(ctx, s.ContainerID, cmp.Or(s.IfName, usual)); err != nil {
		return fmt.Errorf("delegate, container %s: %w", s.ContainerID, err)
	}
	if s.IfName == "" {
		return plugin.IOError(os.Remove(s.legacy()))
	}
	return s.remove()
}
