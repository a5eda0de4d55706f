// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// CreateIn creates the link l, called name, in the container's namespace, and
// returns it as the kernel made it. l.Attrs().ParentIndex, where the kind of
// link has a parent, is an index in the namespace of the calling thread. A name
// that is taken in the container is an *ExistsError.
//
// The link gets its final name at once. Only a kernel that looks for the name in
// the wrong namespace, the current one, has it created under a random name first.
func CreateIn(container Netns, l netlink.Link, name string) (netlink.Link, error) {
	handle, err := handleIn(container)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	err = addIn(container, l, name)
	if errors.Is(err, unix.EEXIST) {
		if _, findErr := handle.LinkByName(name); findErr == nil {
			return nil, &ExistsError{name, true}
		}
		created, again := createAndRename(handle, container, l, name)
		if errors.Is(again, unix.EEXIST) { // it is not the name
			again = err
		}
		return created, again
	}
	if err != nil {
		return nil, err
	}
	return findCreated(handle, name)
}

// createAndRename creates the link under a random name and renames it.
func createAndRename(handle netlinksafe.Handle, container Netns, l netlink.Link, name string) (netlink.Link, error) {
	temporary := RandomVethName()
	if err := addIn(container, l, temporary); err != nil {
		return nil, err
	}
	created, err := findCreated(handle, temporary)
	if err != nil {
		return nil, err
	}
	if err := handle.LinkSetName(created, name); err != nil {
		err = fmt.Errorf("rename %s to %s in the container: %w", temporary, name, err)
		return nil, errors.Join(err, handle.LinkDel(created))
	}
	created.Attrs().Name = name
	return created, nil
}

// addIn creates l under the given name in the container's namespace.
func addIn(container Netns, l netlink.Link, name string) error {
	attrs := l.Attrs()
	attrs.Name = name
	attrs.Namespace = netlink.NsFd(container.Fd())
	if err := netlink.LinkAdd(l); err != nil {
		return fmt.Errorf("create the %s %s in the container: %w", l.Type(), name, err)
	}
	return nil
}

func findCreated(handle netlinksafe.Handle, name string) (netlink.Link, error) {
	created, err := handle.LinkByName(name)
	return created, describeError(fmt.Sprintf("%q", name), err)
}
