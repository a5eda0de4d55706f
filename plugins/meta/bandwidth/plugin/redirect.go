// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/link"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// hookHandle is the handle of the queueing discipline, "ingress" or "clsact",
// that filters hang on. It does not queue anything.
const hookHandle = 0xffff << 16

// hook is the kind of queueing discipline that has the places for filters. All
// of what the container sends can be had with the older one, as upstream does.
func (p plan) hook() string {
	if p.traffic.all() {
		return "ingress"
	}
	return "clsact"
}

// redirect hangs the filters of the directions on the host's end, all or none.
func redirect(host netlink.Link, hook string, directions []direction) error {
	requests := []*nl.NetlinkRequest{hookRequest(host, hook)}
	for _, d := range directions {
		for _, f := range d.filters {
			request, err := filterRequest(host, d.parent, f, d.device)
			if err != nil {
				return err
			}
			requests = append(requests, request)
		}
	}
	answers, err := link.Batch(requests...)
	if err == nil {
		err = cmp.Or(answers...)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("redirect what passes %s: %w", host.Attrs().Name, err)
	if answers == nil || answers[0] == nil { // the hook is there, and nobody else's
		err = errors.Join(err, removeHook(host))
	}
	return err
}

func hookRequest(host netlink.Link, kind string) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	request.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(host.Attrs().Index), Handle: hookHandle, Parent: netlink.HANDLE_INGRESS})
	request.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated(kind)))
	return request
}

func filterRequest(host netlink.Link, parent uint32, f filter, device netlink.Link) (*nl.NetlinkRequest, error) {
	request := nl.NewNetlinkRequest(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	request.AddData(&nl.TcMsg{
		Family: nl.FAMILY_ALL, Ifindex: int32(host.Attrs().Index), Parent: parent,
		Info: netlink.MakeHandle(f.priority, nl.Swap16(f.protocol)),
	})
	request.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("u32")))
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(nl.TCA_U32_SEL, selector(f.keys))
	options.AddRtAttr(nl.TCA_U32_CLASSID, nl.Uint32Attr(netlink.MakeHandle(1, 1)))
	request.AddData(options)
	if !f.redirect {
		return request, nil
	}
	actions := options.AddRtAttr(nl.TCA_U32_ACT, nil)
	return request, netlink.EncodeActions(actions, []netlink.Action{netlink.NewMirredAction(device.Attrs().Index)})
}

// selector has the keys in the order of bytes that packets have.
func selector(keys []netlink.TcU32Key) []byte {
	sel := nl.TcU32Sel{Flags: nl.TC_U32_TERMINAL, Nkeys: uint8(len(keys))}
	for _, key := range keys {
		sel.Keys = append(sel.Keys, nl.TcU32Key{Mask: bigEndian(key.Mask), Val: bigEndian(key.Val), Off: key.Off})
	}
	return sel.Serialize()
}

func bigEndian(n uint32) uint32 {
	var bytes [4]byte
	binary.BigEndian.PutUint32(bytes[:], n)
	return nl.NativeEndian().Uint32(bytes[:])
}

// removeHook removes the hook of a link with all filters on it.
func removeHook(host netlink.Link) error {
	return deleteQdisc(&netlink.Ingress{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: host.Attrs().Index, Handle: hookHandle, Parent: netlink.HANDLE_INGRESS},
	})
}

// checkFilters notes every filter that is missing.
func (d direction) checkFilters(report *check.Report, host netlink.Link) {
	have, err := filtersAt(host.Attrs().Index, d.parent)
	if err != nil {
		report.Fail(host.Attrs().Name, err)
		return
	}
	for _, want := range d.filters {
		if !slices.ContainsFunc(have, func(u *netlink.U32) bool { return want.is(u, d.device.Attrs().Index) }) {
			report.Addf("%s: a filter that leads packets to %s, or past it, is missing", host.Attrs().Name, d.device.Attrs().Name)
		}
	}
}

// is tells whether have is the filter, on its way to the device with the index.
func (f filter) is(have *netlink.U32, device int) bool {
	target, _ := target(have)
	is := filterOf(have)
	return is.priority == f.priority && is.protocol == f.protocol && slices.Equal(is.keys, f.keys) &&
		is.redirect == f.redirect && (!f.redirect || target == device)
}

// filterOf returns what a filter would be made of.
func filterOf(u *netlink.U32) filter {
	_, redirects := target(u)
	return filter{u.Priority, u.Protocol, u.Sel.Keys, redirects}
}

// target returns the index of the device that a filter redirects to: 0 if that
// is gone.
func target(f *netlink.U32) (index int, redirects bool) {
	for _, action := range f.Actions {
		if mirred, ok := action.(*netlink.MirredAction); ok {
			return mirred.Ifindex, true
		}
	}
	return 0, false
}

// filtersAt returns the filters in one place of a link that are such as ours.
func filtersAt(index int, parent uint32) ([]*netlink.U32, error) {
	all, err := netlinksafe.FilterList(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}, parent)
	if err != nil {
		return nil, fmt.Errorf("list the filters: %w", err)
	}
	var found []*netlink.U32
	for _, f := range all {
		if u32, ok := f.(*netlink.U32); ok && u32.Sel != nil { // the others are tables
			found = append(found, u32)
		}
	}
	return found, nil
}

// hooks returns the hooks of all links.
func hooks() ([]netlink.Qdisc, error) {
	qdiscs, err := netlinksafe.QdiscList(nil)
	if err != nil {
		return nil, fmt.Errorf("list the queueing disciplines: %w", err)
	}
	return slices.DeleteFunc(qdiscs, func(q netlink.Qdisc) bool { return q.Attrs().Parent != netlink.HANDLE_INGRESS }), nil
}

// leadsTo tells whether a filter on the hook redirects to a device of which ours
// says so; 0 is one that is gone.
func leadsTo(hook netlink.Qdisc, ours func(index int) bool) (bool, error) {
	places := []uint32{hookHandle}
	if hook.Type() == "clsact" {
		places = []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS}
	}
	for _, place := range places {
		filters, err := filtersAt(hook.Attrs().LinkIndex, place)
		if err != nil {
			return false, ignoreGone(err)
		}
		for _, f := range filters {
			if index, redirects := target(f); redirects && ours(index) {
				return true, nil
			}
		}
	}
	return false, nil
}

// unhookIf removes a hook with all filters on it if one of them leads to a
// device of which ours says so.
func unhookIf(hook netlink.Qdisc, ours func(index int) bool) error {
	leads, err := leadsTo(hook, ours)
	if err != nil || !leads {
		return err
	}
	return deleteQdisc(hook)
}
