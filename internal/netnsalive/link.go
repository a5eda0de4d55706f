// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netnsalive

import (
	"errors"

	"golang.org/x/sys/unix"
)

// HasLink tells whether there is a link called name in the current namespace. The
// host's end of a veth pair is there as long as the network namespace of the other end
// exists, whatever keeps that: a socket does, too, which nobody can see who looks at
// processes and mounts. It asks without the netlink library, which host-local has no
// other use for.
func HasLink(name string) bool {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return false // no link is called that
	}
	return !errors.Is(unix.IoctlIfreq(socket, unix.SIOCGIFINDEX, request), unix.ENODEV)
}
