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

// mayBe tells whether both IDs may be those of one namespace.
func (id ID) mayBe(other ID) bool {
	return id.Inode == other.Inode && (id.Unique == other.Unique || id.Unique == 0 || other.Unique == 0)
}

// Gone returns those whose network namespace does not exist any more, sorted: no
// thread is in it, it is mounted in no mount namespace, and no process has a
// descriptor of it. A namespace that only a socket keeps alive counts as gone:
// nothing can enter it. Before Linux 6.18, one whose number another has got by now
// counts as alive. Gone fails where not all processes of the machine can be seen.
func Gone[K cmp.Ordered](netns map[K]ID) ([]K, error) {
	if len(netns) == 0 {
		return nil, nil
	}
	s, err := newSurvey(maps.Values(netns))
	if err != nil {
		return nil, err
	}
	// Most runtimes mount the namespaces of containers, so that this is mostly all.
	if err := s.mounted("self"); err != nil {
		return nil, err
	}
	if len(missing(netns, s.alive)) == 0 {
		return nil, nil
	}
	if err := s.everywhere(); err != nil {
		return nil, err
	}
	return missing(netns, s.alive), nil
}

func missing[K cmp.Ordered](netns map[K]ID, alive map[ID]bool) []K {
	rest := maps.Clone(netns)
	maps.DeleteFunc(rest, func(_ K, id ID) bool {
		for other := range alive {
			if id.mayBe(other) {
				return true
			}
		}
		return false
	})
	return slices.Sorted(maps.Keys(rest))
}

// CanTell returns the error that keeps Gone from telling, if there is one.
func CanTell() error {
	_, err := Gone(map[int]ID{0: {Inode: 1}})
	return err
}
