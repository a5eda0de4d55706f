// SPDX-License-Identifier: Apache-2.0

//go:build linux

package hostdevice

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// identity is what an interface is known by whatever a container writes on it.
type identity struct {
	// Number is that of its directory in sysfs: it has it for as long as it
	// exists, under every name and in every namespace, and no other has it.
	Number uint64 `json:"number,omitempty"`

	// For who cannot look into sysfs (Linux 5.2, CAP_SYS_ADMIN).
	Kind   string `json:"kind,omitempty"`   // as the netlink library calls it
	Device string `json:"device,omitempty"` // "pci/devices/0000:03:00.1", below /sys/bus
	MAC    string `json:"mac,omitempty"`    // the permanent one
}

// identify returns the identity of an interface of the current namespace.
func identify(l netlink.Link) identity {
	v := view{}
	defer v.close()
	attrs := l.Attrs()
	id := identity{Kind: l.Type(), MAC: attrs.PermHWAddr.String()}
	if attrs.ParentDevBus != "" {
		id.Device = filepath.Join(attrs.ParentDevBus, "devices", attrs.ParentDev)
	}
	id.Number = v.numberOf(attrs.Name)
	return id
}

// verdict is what comes of a comparison with an identity.
type verdict int

const (
	uncertain verdict = iota
	same
	another
)

// compare tells whether an interface of the namespace that v shows is the one. Where
// sysfs does not say, hardware is known by what nobody can make: neither its place on
// a bus nor an interface without a kind.
func (id identity) compare(v *view, l netlink.Link) verdict {
	if id.Number != 0 {
		if number, known := v.number(l); known {
			return sameIf(number == id.Number)
		}
	}
	attrs := l.Attrs()
	switch {
	case id.Kind == "": // the record of an earlier version
		return uncertain
	case l.Type() != id.Kind, id.Device != "" && attrs.ParentDev != filepath.Base(id.Device):
		return another
	case id.isHardware() && id.MAC != "":
		return sameIf(attrs.PermHWAddr.String() == id.MAC)
	}
	return uncertain
}

func sameIf(equal bool) verdict {
	if equal {
		return same
	}
	return another
}

// isHardware tells whether it is that of an interface that outlives the namespace
// it is in.
func (id identity) isHardware() bool { return id.Kind == "device" && id.Device != "" }

// isOf tells whether two identities are of the same interface, as far as is known.
func (id identity) isOf(other identity) bool {
	if id.Number != 0 && other.Number != 0 {
		return id.Number == other.Number
	}
	return id.isHardware() && id.MAC != "" && id.Device == other.Device && id.MAC == other.MAC
}

// view is what sysfs says about the interfaces of a network namespace: that of the
// thread that looks at the first. What is mounted somewhere is another's.
type view struct {
	fd     int
	opened bool
	err    error
}

func (v *view) open() error {
	if !v.opened {
		v.opened = true
		v.fd, v.err = mountSysfs()
	}
	return v.err
}

func (v *view) close() {
	if v.opened && v.err == nil {
		_ = unix.Close(v.fd)
	}
}

// mountSysfs mounts the sysfs of the current network namespace nowhere, and returns
// a descriptor of it.
func mountSysfs() (int, error) {
	fs, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
}

// numberOf returns the number of the directory of the interface with a name, where
// nobody tries to deceive: on the host.
func (v *view) numberOf(name string) uint64 {
	var stat unix.Stat_t
	if v.open() != nil || unix.Fstatat(v.fd, "class/net/"+name, &stat, 0) != nil {
		return 0
	}
	return stat.Ino
}

// number returns the number of an interface's directory, and whether sysfs can be
// looked into at all. One that is renamed just now has none: a container must not
// pass one interface off as another by swapping their names.
func (v *view) number(l netlink.Link) (number uint64, known bool) {
	if v.open() != nil {
		return 0, false
	}
	attrs := l.Attrs()
	dir, err := unix.Openat(v.fd, "class/net/"+attrs.Name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, true
	}
	defer unix.Close(dir)
	var stat unix.Stat_t
	if unix.Fstat(dir, &stat) != nil || indexIn(dir) != fmt.Sprint(attrs.Index) {
		return 0, true
	}
	return stat.Ino, true
}

// indexIn returns the index of the interface that has a directory.
func indexIn(dir int) string {
	fd, err := unix.Openat(dir, "ifindex", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	text := make([]byte, len(strconv.Itoa(-1<<31))+1)
	n, _ := unix.Read(fd, text)
	return strings.TrimSpace(string(text[:max(n, 0)]))
}
