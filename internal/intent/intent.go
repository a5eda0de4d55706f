// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package intent keeps what a plugin is about to do, or has done, for each live
// attachment, in files: for what the kernel does not remember, or somebody may
// take away.
//
// portmap, firewall, bridge and ptp keep what they have written into the host's
// packet filter: what flushes the rules ("nft flush ruleset", "iptables -F", a firewall
// that reloads) does not reach the files, and from them the rules are put back
// without the runtime's help. vrf keeps what an interface loses on its way, for
// as long as it is on its way, bandwidth which link it shapes, and host-device what
// an interface is on the host that a container has.
//
// There is one file for each attachment,
//
//	/run/cni/intent/<plugin>/<host>:<network>:<container>:<interface>.json
//
// in which <host> is the inode number of the host's network namespace. It is
// written before what it is about is done, and removed after that has been taken
// back, so that nothing is without. Meanwhile it is retired, under another name:
// nobody puts back what is being taken. The format is documented in
// Documentation/architecture.md.
package intent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/internal/filelock"
	"github.com/containernetworking/plugins/internal/netnsalive"
	"github.com/containernetworking/plugins/internal/wholefile"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/plainfile"
)

// root is where the files are: it is gone after a restart, as the rules are.
const root = "/run/cni/intent"

// version of the format.
const version = 1

// Intent is the content of a file.
type Intent struct {
	Version   int    `json:"version"`
	Network   string `json:"network"`
	Container string `json:"container"`
	Interface string `json:"interface"`

	// What tells whether the container still exists.
	Netns string `json:"netns"`           // CNI_NETNS of the ADD, as an absolute path
	Inode uint64 `json:"inode,omitempty"` // of that namespace
	ID    uint64 `json:"id,omitempty"`    // of that namespace, since Linux 6.18
	Boot  string `json:"boot"`            // id of the running kernel, from /proc

	// Content is the plugin's own.
	Content json.RawMessage `json:"content"`

	// Retired tells that what it is about is being removed: see Store.Retire.
	Retired bool `json:"-"`
}

// New describes the attachment of a request, with content, which must be
// something that JSON can express.
func New(req *plugin.Request, content any) (Intent, error) {
	encoded, err := json.Marshal(content)
	if err != nil {
		return Intent{}, err
	}
	path, err := absolute(req.Netns.Path())
	netns := netnsalive.At(path)
	return Intent{
		Version: version, Network: req.Network, Container: req.ContainerID, Interface: req.IfName,
		Netns: path, Inode: netns.Inode, ID: netns.Unique, Boot: boot(), Content: encoded,
	}, err
}

// absolute returns a path that means the same to whoever reads the intent, in a
// working directory of its own.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}

// Owner returns whose intent it is.
func (i Intent) Owner() plugin.Owner {
	return plugin.Owner{Network: i.Network, ContainerID: i.Container, IfName: i.Interface}
}

// Gone tells whether the container provably does not exist any more: its
// network namespace is not where it was, or the machine was started since.
func (i Intent) Gone() bool {
	if i.Boot != boot() {
		return true
	}
	return i.Netns != "" && i.Inode != 0 && !i.isIn(i.Netns)
}

// isIn tells whether the namespace at a path may be that of the container.
func (i Intent) isIn(path string) bool {
	if i.ID == 0 {
		return ns.InodeAt(path) == i.Inode
	}
	return netnsalive.At(path).MayBe(i.netns())
}

func (i Intent) netns() netnsalive.ID { return netnsalive.ID{Inode: i.Inode, Unique: i.ID} }

// Lost returns the intents of attachments whose network namespace does not exist any
// more, wherever it was: another mount namespace may have it at a path that leads
// nowhere in this one, and with it the attachment's link. It fails where that cannot be told.
func (s Store) Lost() ([]Intent, error) {
	names := s.names("")
	intents, netns := append(s.readAll(names), s.allRetired(names)...), map[int]netnsalive.ID{}
	for n, i := range intents {
		if i.Inode != 0 {
			netns[n] = i.netns()
		}
	}
	gone, err := netnsalive.Gone(netns)
	if err != nil {
		return nil, err
	}
	var lost []Intent
	for n, i := range intents {
		if i.Boot != boot() || slices.Contains(gone, n) && !netnsalive.HasLink(i.Owner().HostLink()) {
			lost = append(lost, i)
		}
	}
	return lost, nil
}

// Enters tells whether the request is for the namespace that the intent is about,
// whatever path leads there by now.
func (i Intent) Enters(req *plugin.Request) bool {
	return req.Netns.Present() && i.Boot == boot() && i.isIn(fmt.Sprintf("/proc/self/fd/%d", req.Netns.NS().Fd()))
}

func boot() string {
	id, _ := plainfile.Read("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// Store has the intents of one plugin in one network namespace.
type Store struct {
	root   string
	plugin string
	pinned string
}

// Of returns the store of a plugin. Each of its functions looks at the host
// whose network namespace the calling thread is in.
func Of(plugin string) Store { return Store{root: root, plugin: plugin} }

// Pinned returns the store for the host whose network namespace the calling thread
// is in, to be used from others as well.
func (s Store) Pinned() Store {
	s.pinned = s.host()
	return s
}

func (s Store) dir() string { return filepath.Join(s.root, s.plugin) }

// host is how the names of all files of this host begin.
func (s Store) host() string {
	if s.pinned != "" {
		return s.pinned
	}
	return fmt.Sprint(ns.InodeAt("/proc/thread-self/ns/net")) + ":"
}

// file returns where the intent of the owner with a comment is.
func (s Store) file(comment string) string {
	return filepath.Join(s.dir(), s.host()+fileName(comment)+extension)
}

const extension = ".json"

// fileName is a comment as a part of a file's name. Nothing in it has a colon.
func fileName(comment string) string { return strings.ReplaceAll(comment, "/", ":") }

// Put keeps an intent, in the place of the one that its owner had. It waits for
// TakeBack to be done with one of the plugin's attachments.
func (s Store) Put(i Intent) error {
	content, err := json.Marshal(i)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir(), 0o700); err != nil {
		return err
	}
	return s.locked(func() error {
		return wholefile.Replace(s.file(i.Owner().Comment()), string(content)+"\n", 0o600)
	})
}

// locked calls f while nobody else does so with the plugin's stores. The lock is on the
// directory: there is no other file that stays.
func (s Store) locked(f func() error) error {
	dir, err := os.Open(s.dir())
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := filelock.Lock(dir.Fd()); err != nil {
		return &os.PathError{Op: "flock", Path: s.dir(), Err: err}
	}
	return f()
}

// Get returns the intent of an owner, or nil. One that cannot be read is none.
func (s Store) Get(owner plugin.Owner) *Intent { return read(s.file(owner.Comment())) }

// Left returns the intent of an owner, also one that is retired, or nil: the owner
// may have what it is about.
func (s Store) Left(owner plugin.Owner) *Intent { return s.left(owner.Comment()) }

func (s Store) left(comment string) *Intent {
	file := s.file(comment)
	if i := read(file); i != nil {
		return i
	}
	return readRetired(file)
}

// readRetired returns the intent from a file if it is retired.
func readRetired(file string) *Intent {
	i := read(wholefile.Aside(file))
	if i != nil {
		i.Retired = true
	}
	return i
}

func read(path string) *Intent {
	content, err := plainfile.Read(path)
	if err != nil {
		return nil
	}
	return parse(content)
}

func parse(content []byte) *Intent {
	var i Intent
	if json.Unmarshal(content, &i) != nil || i.Version != version {
		return nil
	}
	return &i
}

// Retire comes before the removal of what the intent of an owner is about, and Delete
// after it: nobody puts back meanwhile what is removed, and who does not know yet
// notices and removes it again. Should a DEL be killed in between, the file is still
// there. (Its name is that of one which Put was about to put in the place of another,
// but here there is no other.)
func (s Store) Retire(owner plugin.Owner) error {
	return wholefile.SetAside(s.file(owner.Comment()))
}

// Delete removes the intent of an owner, if there is one. The directory stays.
func (s Store) Delete(owner plugin.Owner) error {
	return wholefile.Remove(s.file(owner.Comment()))
}

// List returns all intents, in the order of their owners' comments.
func (s Store) List() []Intent { return s.list("") }

// OfContainer returns the intents of the attachments of a container to a network.
func (s Store) OfContainer(network, container string) []Intent {
	return s.list(plugin.Owner{Network: network, ContainerID: container}.Comment())
}

// OfContainerAnywhere returns those of the attachments of a container to whichever
// network.
func (s Store) OfContainerAnywhere(container string) []Intent {
	part := fileName(plugin.Owner{ContainerID: container}.Comment())
	names := slices.DeleteFunc(s.names(""), func(name string) bool { return !strings.Contains(name, part) })
	return slices.DeleteFunc(s.readAll(names), func(i Intent) bool { return i.Container != container })
}

// list returns the intents of the owners whose comments begin with prefix.
func (s Store) list(prefix string) []Intent { return s.readAll(s.names(prefix)) }

func (s Store) readAll(names []string) []Intent {
	var list []Intent
	for _, name := range names {
		if i := read(filepath.Join(s.dir(), name)); i != nil && strings.HasSuffix(name, extension) {
			list = append(list, *i)
		}
	}
	return list
}

// allRetired returns the intents that are retired.
func (s Store) allRetired(names []string) []Intent {
	var list []Intent
	for _, name := range names {
		current, aside := strings.CutSuffix(name, wholefile.Aside(""))
		if !aside || slices.Contains(names, current) {
			continue
		}
		if i := readRetired(filepath.Join(s.dir(), current)); i != nil {
			list = append(list, *i)
		}
	}
	return list
}

// names returns the names of the files of this host whose owners' comments begin
// with prefix, also of those that are retired or that Replace has left.
func (s Store) names(prefix string) []string {
	entries, _ := os.ReadDir(s.dir())
	prefix = s.host() + fileName(prefix)
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			names = append(names, entry.Name())
		}
	}
	return names
}

// Collect calls remove for each attachment of a network that is not valid any
// more and has an intent, and then removes the intent. It goes on after errors.
func (s Store) Collect(attachments plugin.Attachments, remove func(plugin.Owner) error) error {
	var errs []error
	for _, name := range s.names("") {
		path := filepath.Join(s.dir(), name)
		comment, _ := strings.CutSuffix(strings.TrimSuffix(name, wholefile.Aside("")), extension)
		comment = strings.ReplaceAll(strings.TrimPrefix(comment, s.host()), ":", "/")
		if !attachments.StaleComment(comment) {
			continue
		}
		i := read(path)
		if i == nil {
			errs = append(errs, wholefile.Remove(path))
			continue
		}
		errs = append(errs, s.Remove(i.Owner(), func() error { return remove(i.Owner()) }))
	}
	return errors.Join(errs...)
}

// Remove calls remove while the intent of an owner is retired, and then removes the
// intent, unless there was an error.
func (s Store) Remove(owner plugin.Owner, remove func() error) error {
	s = s.Pinned()
	if err := errors.Join(s.Retire(owner), remove()); err != nil {
		return err
	}
	return s.Delete(owner)
}

// Gone tells whether the owner with a comment provably does not exist any more.
// Without an intent of its there is no proof.
func (s Store) Gone(comment string) bool {
	i := s.left(comment)
	return i != nil && i.Gone()
}

// ContainerGone tells the same of all attachments of a container to a network.
func (s Store) ContainerGone(network, container string) bool {
	names := s.names(plugin.Owner{Network: network, ContainerID: container}.Comment())
	all := append(s.readAll(names), s.allRetired(names)...)
	return len(all) > 0 && !slices.ContainsFunc(all, func(i Intent) bool { return !i.Gone() })
}
