// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tap

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
)

const (
	linkType = "tuntap"
	device   = "/dev/net/tun"
)

// create makes the interface in the container, with all that was asked for, and
// pushes its removal. Until the kernel is told to keep it, last of all, it goes
// when the process does: it is there whole or not at all.
func (selinux labeller) create(req *plugin.Request, c *Config) (created netlink.Link, err error) {
	err = req.InNetns(func() error {
		bridge, err := c.findBridge()
		if err != nil {
			return err
		}
		file, err := openDevice()
		if err != nil {
			return err
		}
		defer file.Close()
		if err := selinux.attach(file, req.IfName, c); err != nil {
			return err
		}
		if err := setOpeners(file, c); err != nil {
			return err
		}
		if created, err = furnish(req, c, bridge); err != nil {
			return err
		}
		return control(file, "keep the interface", unix.TUNSETPERSIST, 1)
	})
	if err != nil {
		return nil, err
	}
	req.Undo.Push("tap interface", func() error { return containerlink.Delete(req, created) })
	return created, nil
}

// findBridge returns the bridge in the container, nil if none is asked for.
func (c *Config) findBridge() (*netlink.Bridge, error) {
	if c.Bridge == "" {
		return nil, nil
	}
	found, err := link.Find(c.Bridge)
	if errors.Is(err, link.ErrNotFound) {
		return nil, plugin.Errorf(types.ErrInvalidNetworkConfig, "bridge: there is no interface %q in the container", c.Bridge)
	}
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	bridge, ok := found.(*netlink.Bridge)
	if !ok {
		return nil, plugin.Errorf(types.ErrInvalidNetworkConfig, "bridge: %s, in the container, is a %s, not a bridge", c.Bridge, found.Type())
	}
	return bridge, nil
}

// openDevice opens the device that makes interfaces in the namespace in which it
// was opened. Go's own opening would ask it for events, for which it is too
// early.
func openDevice() (*os.File, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w%s", device, err, openHint(err))
	}
	return os.NewFile(uintptr(fd), device), nil
}

func openHint(err error) string {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return "; the kernel module tun has to be loaded"
	}
	return ""
}

// deviceStatus tells why no interface could be made.
func deviceStatus() error {
	file, err := openDevice()
	if err != nil {
		return err
	}
	return file.Close()
}

// attach has the kernel make the interface, which exists for as long as the file
// is open. For a name that is taken the error is EBUSY.
func attach(file *os.File, name string, flags uint16) error {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("name %q: %w", name, err)
	}
	request.SetUint16(flags | unix.IFF_TUN_EXCL)
	if err := unix.IoctlIfreq(int(file.Fd()), unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("make the interface %s: %w", name, err)
	}
	return nil
}

// describeAttach says so if the name is taken. Of a helper's error there is nothing
// but the text.
func describeAttach(name string, err error) error {
	if err != nil && strings.Contains(err.Error(), unix.EBUSY.Error()) {
		return fmt.Errorf("%w; use another CNI_IFNAME or delete the attachment first", &link.ExistsError{Name: name, InContainer: true})
	}
	return err
}

// flags are those of the interface. Whether there are several queues cannot be
// changed later, the rest is for whoever opens the interface to say.
func (c *Config) flags() uint16 {
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if c.MultiQueue {
		flags |= unix.IFF_MULTI_QUEUE
	}
	return flags
}

// setOpeners says who may open the interface, beside those with CAP_NET_ADMIN.
func setOpeners(file *os.File, c *Config) error {
	if c.Owner != nil {
		if err := control(file, "set the owner of the interface", unix.TUNSETOWNER, *c.Owner); err != nil {
			return err
		}
	}
	if c.Group != nil {
		return control(file, "set the group of the interface", unix.TUNSETGROUP, *c.Group)
	}
	return nil
}

func control(file *os.File, what string, request uint, value uint32) error {
	if err := unix.IoctlSetInt(int(file.Fd()), request, int(value)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// furnish gives the interface its properties and its owner's mark, and returns
// it as it is then.
func furnish(req *plugin.Request, c *Config, bridge *netlink.Bridge) (netlink.Link, error) {
	l, err := link.Find(req.IfName)
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkSetAlias(l, req.Owner().Comment()); err != nil {
		return nil, fmt.Errorf("set the alias of %s: %w", req.IfName, err)
	}
	if mac := c.ContainerMAC(req.Args); mac != nil {
		if err := netlink.LinkSetHardwareAddr(l, mac); err != nil {
			return nil, fmt.Errorf("set the MAC address of %s to %s: %w", req.IfName, mac, err)
		}
	}
	if c.MTU != 0 {
		if err := netlink.LinkSetMTU(l, c.MTU); err != nil {
			return nil, fmt.Errorf("set the MTU of %s to %d: %w", req.IfName, c.MTU, err)
		}
	}
	if bridge != nil {
		if err := netlink.LinkSetMaster(l, bridge); err != nil {
			return nil, fmt.Errorf("make %s a port of %s: %w", req.IfName, c.Bridge, err)
		}
	}
	return link.Find(req.IfName)
}

// own returns the attachment's interface, or nil. What this plugin has made
// bears its owner from the start; what upstream's has made is known by
// prevResult.
func own(req *plugin.Request, c *Config) (netlink.Link, error) {
	l, err := containerlink.FindOwn(req, linkType)
	if l == nil || err != nil || l.Attrs().Alias == req.Owner().Comment() {
		return l, err
	}
	_, previous := req.PrevInterface()
	if previous != nil && l.Attrs().HardwareAddr.String() == conf.CanonicalMAC(previous.Mac) {
		return l, nil
	}
	if isUpstreams(l) && (previous != nil || !c.getsPrevious()) {
		return l, nil
	}
	return nil, nil
}

// isUpstreams tells whether an interface is as upstream's plugin makes it. Its
// address may be another by now: tuning has put back the one before, if it set
// that of prevResult.
func isUpstreams(l netlink.Link) bool {
	tap, ok := l.(*netlink.Tuntap)
	return ok && tap.Alias == "" && tap.Mode != netlink.TUNTAP_MODE_TUN && !tap.NonPersist
}

// getsPrevious tells whether DEL gets prevResult, which it does from version
// 0.4.0 on, unless ADD failed, as when somebody else's interface has the name.
func (c *Config) getsPrevious() bool {
	since, err := version.GreaterThanOrEqualTo(c.CNIVersion, "0.4.0")
	return err != nil || since
}
