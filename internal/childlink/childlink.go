// SPDX-License-Identifier: Apache-2.0

//go:build linux

package childlink

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/containernetworking/plugins/internal/containerlink"
	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/conf"
	"github.com/containernetworking/plugins/pkg/ipam"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/utils/sysctl"
)

// Kind is what a plugin knows about the link of an attachment.
type Kind struct {
	Type   string           // as the netlink library calls it, "macvlan"
	Master *Master          // nil for a link that stands by itself
	MTU    int              // 0: up to the kernel
	MAC    net.HardwareAddr // nil: up to the kernel
	Probe  bool             // as of ipam.Options
	// CheckMTU is what Check expects where prevResult states no MTU; 0: any.
	CheckMTU int
	// Build makes a link to be created of the attributes that all kinds have.
	Build func(netlink.LinkAttrs) netlink.Link
	// Compare notes what is different about the properties that only this kind
	// has; may be nil.
	Compare func(*check.Report, netlink.Link)
	// Hints explain errors of the kernel, which says too little by itself.
	Hints map[unix.Errno]string
}

// Create makes the link in the container, under its final name, and pushes its
// removal.
func Create(req *plugin.Request, k Kind) (netlink.Link, error) {
	var created netlink.Link
	err := k.Master.where(req, func() error {
		attrs, err := k.attributes()
		if err != nil {
			return err
		}
		created, err = link.CreateIn(req.Netns.NS(), k.Build(attrs), req.IfName)
		return k.explain(err)
	})
	if err != nil {
		return nil, err
	}
	if err := own(req, created); err != nil {
		return nil, err
	}
	return created, setMAC(req, created, k.MAC)
}

// attributes returns the attributes of the link to create. It works in the
// namespace of the master.
func (k Kind) attributes() (netlink.LinkAttrs, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.MTU, attrs.HardwareAddr = k.MTU, k.MAC
	if k.Master == nil {
		return attrs, nil
	}
	master, err := k.Master.find()
	if err != nil {
		return attrs, err
	}
	attrs.ParentIndex = master.Attrs().Index
	return attrs, nil
}

// explain adds what the kernel may have meant.
func (k Kind) explain(err error) error {
	var exists *link.ExistsError
	if errors.As(err, &exists) {
		return fmt.Errorf("%w; use another CNI_IFNAME or delete the attachment first", err)
	}
	for errno, hint := range k.Hints {
		if errors.Is(err, errno) {
			return fmt.Errorf("%w: %s", err, hint)
		}
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return cmp.Or(link.Supported(k.Type), err)
	}
	return err
}

// Status tells why ADD could not make the link now.
func (k Kind) Status() error {
	return errors.Join(link.Supported(k.Type), k.Master.status())
}

// own pushes the removal of a link that has just been made in the container and
// marks it with its owner.
func own(req *plugin.Request, l netlink.Link) error {
	req.Undo.Push(l.Type()+" link", func() error { return containerlink.Delete(req, l) })
	return req.InNetns(func() error {
		if err := netlink.LinkSetAlias(l, req.Owner().Comment()); err != nil {
			return fmt.Errorf("set the alias of %s: %w", req.IfName, err)
		}
		return nil
	})
}

// setMAC gives the link the MAC address that it was asked to have at creation. A
// macvlan in mode passthru took that of its master instead.
func setMAC(req *plugin.Request, l netlink.Link, mac net.HardwareAddr) error {
	if mac == nil || bytes.Equal(mac, l.Attrs().HardwareAddr) {
		return nil
	}
	l.Attrs().HardwareAddr = mac
	return req.InNetns(func() error {
		if err := netlink.LinkSetHardwareAddr(l, mac); err != nil {
			return fmt.Errorf("set the MAC address of %s to %s: %w", req.IfName, mac, err)
		}
		return nil
	})
}

// Connect gives the link addresses of the IPAM plugin; without one, at layer 2,
// it only sets it up. The result has the DNS settings of the configuration, or
// else those of the IPAM plugin.
func Connect(ctx context.Context, req *plugin.Request, l netlink.Link, c *conf.Common, options ipam.Options) (*current.Result, error) {
	result, err := req.IPAM.Add(ctx, req.Undo)
	if err != nil {
		return nil, err
	}
	return result, Configure(ctx, req, l, result, c, options)
}

// Configure gives the link the addresses and routes of the result, sets it up,
// and makes it the only interface of the result.
func Configure(ctx context.Context, req *plugin.Request, l netlink.Link, result *current.Result, c *conf.Common, options ipam.Options) error {
	iface, err := containerlink.Describe(req, l)
	if err != nil {
		return err
	}
	containerlink.Complete(result, iface, c)
	options.Link, options.Announce = l, true
	return req.InNetns(func() error {
		announceIPv6(req.IfName)
		return ipam.ConfigureIfaceWithOptions(ctx, req.IfName, result, options)
	})
}

// announceIPv6 has the kernel tell the neighbours about the IPv6 addresses as
// the interface comes up, as ipam.Options.Announce does for IPv4. The kernel may
// have no IPv6, and /proc/sys may be read-only.
func announceIPv6(ifName string) {
	_ = sysctl.Write("net/ipv6/conf/"+ifName+"/ndisc_notify", "1")
}

// del releases the link; one of another kind or owner stays.
func del(ctx context.Context, req *plugin.Request, kind string) error {
	l, err := containerlink.FindOwn(req, kind)
	return errors.Join(err, Release(ctx, req, l))
}

// Release takes the addresses off the link, if there is one, has the IPAM plugin
// release them, and deletes the link. It goes on past failures.
func Release(ctx context.Context, req *plugin.Request, l netlink.Link) error {
	_, err := containerlink.Silence(req, l)
	return errors.Join(err, req.IPAM.Del(ctx), containerlink.Delete(req, l))
}

// Check compares the link with what ADD reported and the configuration says.
func Check(ctx context.Context, req *plugin.Request, k Kind) error {
	var report check.Report
	report.Fail("ipam", req.IPAM.Check(ctx))
	l := containerlink.Check(&report, req, containerlink.Want{Kind: k.Type, MTU: k.CheckMTU, Up: true})
	if l == nil {
		return report.Err()
	}
	if k.Master != nil {
		k.Master.check(&report, req, l)
	}
	if k.Compare != nil && l.Type() == k.Type {
		k.Compare(&report, l)
	}
	return report.Err()
}
