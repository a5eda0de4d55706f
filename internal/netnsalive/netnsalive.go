// SPDX-License-Identifier: Apache-2.0

// Package netnsalive tells which network namespaces do not exist any more, and
// with them their containers.
package netnsalive

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Gone returns those who have a network namespace that does not exist any more,
// sorted, given the inode numbers of all: no thread is in it, it is mounted in no
// mount namespace, and no process has a descriptor of it. A namespace that only a
// socket keeps alive counts as gone: nothing can enter it. Gone fails where not all
// processes of the machine can be seen.
func Gone[K cmp.Ordered](netns map[K]uint64) ([]K, error) {
	if len(netns) == 0 {
		return nil, nil
	}
	mounted, err := mountedNetns("self")
	if err != nil {
		return nil, err
	}
	// Most runtimes mount the namespaces of containers, so that this is mostly all.
	gone := without(netns, mounted)
	if len(gone) == 0 {
		return nil, nil
	}
	alive, err := all()
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(without(gone, alive))), nil
}

func without[K cmp.Ordered](netns map[K]uint64, alive map[uint64]bool) map[K]uint64 {
	rest := maps.Clone(netns)
	maps.DeleteFunc(rest, func(_ K, number uint64) bool { return alive[number] })
	return rest
}

// CanTell returns the error that keeps Gone from telling, if there is one.
func CanTell() error {
	_, err := all()
	return err
}

// Number returns the inode number in "net:[<inode>]", as /proc has it, or 0.
func Number(text string) uint64 {
	number, named := strings.CutPrefix(text, "net:[")
	number, ok := strings.CutSuffix(number, "]")
	netns, err := strconv.ParseUint(number, 10, 64)
	if !named || !ok || err != nil {
		return 0
	}
	return netns
}
