// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/wholefile"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

const (
	directoryMode = 0o700
	fileMode      = 0o600
	fileSuffix    = ".json"

	// Keys that files of upstream have not, and that it does not mind.
	ownerKey     = "owner"
	interfaceKey = "interface"
)

// originals are attributes of an interface as they were before the first ADD.
type originals struct {
	owner  string // plugin.Owner.Comment
	link   string // which interface it is, see identify
	values attributeValues
}

// identify tells an interface from others that had or will have its name: by
// the inode of its namespace and its index there.
func identify(req *plugin.Request, l netlink.Link) string {
	return identifyIndex(req, l.Attrs().Index)
}

func identifyIndex(req *plugin.Request, index int) string {
	var stat unix.Stat_t
	if !req.Netns.Present() || unix.Fstat(int(req.Netns.NS().Fd()), &stat) != nil {
		return ""
	}
	return fmt.Sprintf("%d/%d", stat.Ino, index)
}

// indexIn returns the index that the interface has in the request's namespace, or 0
// if it was in another.
func (o originals) indexIn(req *plugin.Request) int {
	_, text, _ := strings.Cut(o.link, "/")
	index, err := strconv.Atoi(text)
	if err != nil || o.link != identifyIndex(req, index) {
		return 0
	}
	return index
}

// areOf tells whether these are the originals of l. Upstream does not say whose
// its are.
func (o originals) areOf(req *plugin.Request, l netlink.Link) bool {
	return o.link == "" || o.link == identify(req, l)
}

// backup is the path of the file with an attachment's originals.
type backup string

// backupFile returns the file of an attachment. It has upstream's name, in which
// the network is not, unless that is taken by an attachment to another one.
func backupFile(dataDir string, req *plugin.Request) backup {
	common := filepath.Join(dataDir, req.ContainerID+"_"+req.IfName)
	usual, own := backup(common+fileSuffix), backup(common+"@"+req.Network+fileSuffix)
	if _, err := own.read(); err == nil {
		return own
	}
	o, err := usual.read()
	if err == nil && o.owner != "" && o.owner != req.Owner().Comment() {
		return own
	}
	return usual
}

// save notes what the wanted attributes of l are, and pushes the way back. What
// an earlier ADD has noted stays: what it found was the original, what is there
// now is its work.
func save(req *plugin.Request, dataDir string, l netlink.Link, wanted attributeValues) error {
	file := backupFile(dataDir, req)
	before, err := plainfile.Read(string(file))
	if ignoreAbsent(err) != nil {
		return plugin.IOError(err)
	}
	o := originals{owner: req.Owner().Comment(), link: identify(req, l), values: attributeValues{}}
	if earlier, err := parseOriginals(before); err == nil && earlier.areOf(req, l) {
		o.values = earlier.values
	}
	for _, attr := range attributes() {
		if _, known := o.values[attr.key]; !known && wanted[attr.key] != nil {
			o.values[attr.key] = attr.get(l.Attrs())
		}
	}
	if err := file.write(o.encode()); err != nil {
		return err
	}
	req.Undo.Push("the note of the original attributes", func() error {
		if before == nil {
			return file.remove()
		}
		return file.write(before)
	})
	return nil
}

func (b backup) write(content []byte) error {
	dir := filepath.Dir(string(b))
	return plugin.IOError(errors.Join(
		os.MkdirAll(filepath.Dir(dir), 0o755), os.MkdirAll(dir, directoryMode),
		wholefile.Replace(string(b), string(content), fileMode)))
}

func (b backup) read() (originals, error) {
	data, err := plainfile.Read(string(b))
	if err != nil {
		return originals{}, err
	}
	o, err := parseOriginals(data)
	if err != nil {
		return o, fmt.Errorf("%s: %w", b, err)
	}
	return o, nil
}

// remove removes the file, and what a kill may have left beside it.
func (b backup) remove() error { return plugin.IOError(wholefile.Remove(string(b))) }

func (o originals) encode() []byte {
	object := map[string]any{ownerKey: o.owner, interfaceKey: o.link}
	for key, value := range o.values {
		object[key] = value
	}
	data, _ := json.MarshalIndent(object, "", " ") // strings, numbers and bools
	return data
}

func parseOriginals(data []byte) (originals, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return originals{}, err
	}
	o := originals{owner: text(object[ownerKey]), link: text(object[interfaceKey]), values: attributeValues{}}
	for _, attr := range attributes() {
		raw, ok := object[attr.key]
		if !ok {
			continue
		}
		value, err := attr.decode(raw)
		if err != nil {
			return originals{}, fmt.Errorf("%s: %w", attr.key, err)
		}
		o.values[attr.key] = value
	}
	return o, nil
}

// text returns a JSON string, or "" for anything else.
func text(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// removeStaleBackups removes the files of attachments of the network that are no
// longer valid. Those of upstream do not say which network they are of.
func removeStaleBackups(dataDir string, valid plugin.Attachments) error {
	entries, err := os.ReadDir(dataDir)
	if err != nil {
		return plugin.IOError(ignoreAbsent(err))
	}
	var errs []error
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), fileSuffix) && !strings.HasSuffix(entry.Name(), wholefile.Aside(fileSuffix)) {
			continue
		}
		file := backup(filepath.Join(dataDir, entry.Name()))
		if o, err := file.read(); err == nil && valid.StaleComment(o.owner) {
			errs = append(errs, file.remove())
		}
	}
	return errors.Join(errs...)
}

func ignoreAbsent(err error) error {
	if wholefile.IsAbsent(err) {
		return nil
	}
	return err
}
