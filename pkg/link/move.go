// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// Move moves the link with the given index to another namespace, where it gets
// a name and, unless that is empty, an alias: all in one message, so that a
// process that is killed has done all of it or nothing. The kernel sets the
// link down and takes its addresses and routes.
//
// The link arrives under the name it had, if that is free there, and is renamed
// then. So where that name is free and the new one is taken, the link has moved
// although there is an error.
func Move(index int, to Netns, name, alias string) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(to.Fd()))))
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	if alias != "" {
		request.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
	}
	if _, err := netlinksafe.Execute(request); err != nil {
		return fmt.Errorf("move link #%d to another namespace as %s: %w", index, name, err)
	}
	return nil
}

// AddAltNames gives the link with the given index alternative names (Linux 5.5),
// which go with it wherever it is moved to. The first that is taken is a
// unix.EEXIST, and those after it are not added.
func AddAltNames(index int, names ...string) error {
	return changeAltNames(unix.RTM_NEWLINKPROP, index, names)
}

// RemoveAltNames takes alternative names from the link with the given index.
// Those that it does not have are gone already.
func RemoveAltNames(index int, names ...string) error {
	err := changeAltNames(unix.RTM_DELLINKPROP, index, names)
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	if len(names) == 1 {
		return nil
	}
	var errs []error // the kernel stops at the first that is missing
	for _, name := range names {
		errs = append(errs, RemoveAltNames(index, name))
	}
	return errors.Join(errs...)
}

func changeAltNames(verb, index int, names []string) error {
	if len(names) == 0 {
		return nil
	}
	request := nl.NewNetlinkRequest(verb, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	list := nl.NewRtAttr(unix.IFLA_PROP_LIST|unix.NLA_F_NESTED, nil)
	for _, name := range names {
		list.AddRtAttr(unix.IFLA_ALT_IFNAME, nl.ZeroTerminated(name))
	}
	request.AddData(list)
	if _, err := netlinksafe.Execute(request); err != nil {
		return fmt.Errorf("change the alternative names of link #%d: %w", index, err)
	}
	return nil
}
