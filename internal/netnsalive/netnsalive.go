// SPDX-License-Identifier: Apache-2.0

// Package netnsalive tells which network namespaces do not exist any more, and
// with them their containers.
package netnsalive

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ID is what a network namespace is known by during a boot.
type ID struct {
	Inode  uint64 // another one may have it later
	Unique uint64 // only one ever has it; 0: not known, as before Linux 6.18
}

// String returns the ID as ParseID reads it.
func (id ID) String() string {
	if id.Unique == 0 {
		return fmt.Sprintf("net:[%d]", id.Inode)
	}
	return fmt.Sprintf("net:[%d]%d", id.Inode, id.Unique)
}

// MayBe tells whether two IDs can be of the same namespace: where it is not known what
// tells one of them from all others, the inode decides.
func (id ID) MayBe(other ID) bool {
	return id.Inode == other.Inode && (id.Unique == other.Unique || id.Unique == 0 || other.Unique == 0)
}

// ParseID returns the ID in a text, which may be the name that /proc has for a
// network namespace, or the zero ID.
func ParseID(text string) ID {
	rest, _ := strings.CutPrefix(text, "net:[")
	inode, unique, _ := strings.Cut(rest, "]")
	id := ID{number(inode), number(unique)}
	if id.String() != text {
		return ID{}
	}
	return id
}

func number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

// Gone returns those whose network namespace does not exist any more, sorted: no
// thread is in it, it is mounted where no process can see it, if at all, and none has a
// descriptor of it. A namespace that only a socket keeps alive counts as gone: nothing
// can enter it, but its links are there (HasLink), and it answers. Before Linux 6.18,
// one whose number another has got by now counts as alive. Gone fails where not all
// processes of the machine can be seen.
func Gone[K cmp.Ordered](netns map[K]ID) ([]K, error) {
	var gone []K
	const patience = 30
	for range patience {
		s := survey{alive: map[uint64][]uint64{}, viewsSeen: map[view]bool{}}
		absent, err := lookFor(&s, netns)
		if err != nil {
			return nil, err
		}
		gone = slices.AppendSeq(gone, maps.Keys(absent))
		netns = only(netns, s.cannotTell)
		if len(netns) == 0 {
			break
		}
	}
	slices.Sort(gone)
	return gone, nil
}

// lookFor returns those that are nowhere to be found.
func lookFor[K comparable](s *survey, netns map[K]ID) (map[K]ID, error) {
	// Most runtimes mount the namespaces of containers, so that our own mounts are
	// mostly all that has to be looked at.
	for _, look := range []func() error{s.ownMounts, s.everywhere} {
		if len(netns) == 0 {
			break
		}
		s.wanted = inodes(netns)
		if err := look(); err != nil {
			return nil, err
		}
		netns = only(netns, func(id ID) bool { return !s.mayLive(id) })
	}
	return netns, nil
}

// survey gathers what keeps network namespaces alive.
type survey struct {
	wanted    map[uint64]bool     // the inodes that are asked for
	alive     map[uint64][]uint64 // what tells those with an inode from all others
	viewsSeen map[view]bool       // mounts that have been looked at
}

// view is which mounts a process can see: those of its mount namespace that are below
// its root directory.
type view struct {
	namespace, root string
	device, inode   uint64 // of the root
	mount           uint64 // that the root is on, since Linux 5.8
}

func (s *survey) found(id ID) {
	if !slices.Contains(s.alive[id.Inode], id.Unique) {
		s.alive[id.Inode] = append(s.alive[id.Inode], id.Unique)
	}
}

// mayLive tells whether a namespace that was found may be the one with an ID.
func (s *survey) mayLive(id ID) bool {
	return slices.ContainsFunc(s.alive[id.Inode], func(unique uint64) bool { return id.MayBe(ID{id.Inode, unique}) })
}

// cannotTell tells whether nothing that was found is the namespace with an ID, and
// something may be: what has left when it is asked which one it is in.
func (s *survey) cannotTell(id ID) bool {
	return s.mayLive(id) && id.Unique != 0 && !slices.Contains(s.alive[id.Inode], id.Unique)
}

func inodes[K comparable](netns map[K]ID) map[uint64]bool {
	all := map[uint64]bool{}
	for _, id := range netns {
		all[id.Inode] = true
	}
	return all
}

func only[K comparable](netns map[K]ID, chosen func(ID) bool) map[K]ID {
	rest := maps.Clone(netns)
	maps.DeleteFunc(rest, func(_ K, id ID) bool { return !chosen(id) })
	return rest
}
