// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bandwidth

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/check"
	"github.com/containernetworking/plugins/pkg/netlinksafe"
)

// shaper limits what a link sends, by a token bucket filter. The zero value
// limits nothing.
type shaper struct {
	rate  uint64 // bytes per second
	burst uint64 // bytes, less than 4 GiB
}

func newShaper(rateBits, burstBits *uint64) shaper {
	return shaper{rate: number(rateBits) / 8, burst: number(burstBits) / 8}
}

func (s shaper) active() bool { return s.rate > 0 }

const (
	latency = 25 // milliseconds that a packet may wait for tokens, as upstream

	// tickShift makes ticks of nanoseconds (PSCHED_SHIFT of the kernel).
	tickShift = 6

	second = 1_000_000_000 // nanoseconds

	headers = 14 + 4 // of Ethernet and a VLAN, which count like what follows

	rootHandle = 1 << 16 // "1:0"
)

// limit is the number of bytes that may wait.
func (s shaper) limit() uint32 {
	waiting := s.rate/1000*latency + s.rate%1000*latency/1000
	return uint32(min(waiting+s.burst, math.MaxUint32))
}

// upstreamLimit is the limit that upstream computes, with 32 bits.
func (s shaper) upstreamLimit() uint32 {
	return uint32(float64(s.rate)*latency*1000/1e6) + uint32(s.burst)
}

// nanoseconds is how long the burst takes at the rate, as the kernel computes it
// (psched_ratecfg_precompute, psched_l2t_ns): it multiplies by a quotient of 32 bits.
func (s shaper) nanoseconds() uint64 {
	factor, shift := uint64(second), 0
	for factor/s.rate < 1<<31 && factor < 1<<63 {
		factor <<= 1
		shift++
	}
	return s.burst * (factor / s.rate) >> shift
}

// fitsTicks tells whether the burst can be told in ticks, of which the kernel
// takes 32 bits: 275 seconds.
func (s shaper) fitsTicks() bool { return s.nanoseconds() < math.MaxUint32<<tickShift }

// upstreamTicks is the burst in ticks as upstream tells it, by way of whole
// microseconds. It is right if it fits.
func (s shaper) upstreamTicks() uint32 {
	const perMicrosecond = 1000.0 / (1 << tickShift)
	microseconds := uint32(float64(uint32(s.burst)) * 1e6 / float64(s.rate)) // in this order, by which it is rounded
	return uint32(float64(microseconds) * perMicrosecond)
}

// tellsTicks tells whether the burst is told in ticks, as upstream does: unless it
// does not fit, or so little is left of it that packets of l are dropped for which
// there would be room. At high rates a microsecond is many bytes.
func (s shaper) tellsTicks(l netlink.Link) bool {
	return s.fitsTicks() && s.passes(s.upstreamTicks()) >= min(s.burst, uint64(l.Attrs().MTU+headers))
}

// passes is how many bytes the kernel makes of ticks.
func (s shaper) passes(ticks uint32) uint64 {
	high, low := bits.Mul64(uint64(ticks)<<tickShift, s.rate)
	if high >= second {
		return math.MaxUint64
	}
	bytes, _ := bits.Div64(high, low, second)
	return bytes
}

// apply makes the shaper the root queueing discipline of l. It is an error
// (unix.EEXIST) if l has one already.
func (s shaper) apply(l netlink.Link) error {
	request := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	request.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(l.Attrs().Index), Handle: rootHandle, Parent: netlink.HANDLE_ROOT})
	request.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("tbf")))
	request.AddData(s.options(l))
	if _, err := netlinksafe.Execute(request); err != nil {
		return fmt.Errorf("shape %s with tbf: %w", l.Attrs().Name, err)
	}
	return nil
}

func (s shaper) options(l netlink.Link) *nl.RtAttr {
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	parms := nl.TcTbfQopt{Limit: s.limit()}
	parms.Rate.Rate = uint32(s.rate)
	if s.tellsTicks(l) {
		parms.Buffer = s.upstreamTicks()
	} else { // in bytes, which the kernel prefers; a newer attribute
		options.AddRtAttr(nl.TCA_TBF_BURST, nl.Uint32Attr(uint32(s.burst)))
	}
	if s.rate > math.MaxUint32 {
		options.AddRtAttr(nl.TCA_TBF_RATE64, nl.Uint64Attr(s.rate))
	}
	options.AddRtAttr(nl.TCA_TBF_PARMS, parms.Serialize())
	return options
}

// check compares the shaper with the root queueing discipline of l. It takes
// what upstream makes of the same rate and burst for right.
func (s shaper) check(report *check.Report, l netlink.Link) {
	root, err := rootQdisc(l)
	if err != nil {
		report.Fail(l.Attrs().Name, err)
		return
	}
	name := l.Attrs().Name
	switch root := root.(type) {
	case nil:
		report.Addf("%s: nothing limits its rate, expected tbf", name)
	case *netlink.Tbf:
		report.Equal(name, "rate in bytes", s.rate, root.Rate)
		if root.Limit != s.upstreamLimit() {
			report.Equal(name, "limit", s.limit(), root.Limit)
		}
		if !s.hasBuffer(root.Buffer) {
			report.Equal(name, "burst in ticks", uint32(s.ticks()), root.Buffer)
		}
	default:
		if !isLegacy([]netlink.Link{l}) {
			report.Equal(name, "root queueing discipline", "tbf", root.Type())
		}
	}
}

// ticks is the burst in ticks, of which the kernel tells the lower 32 bits.
func (s shaper) ticks() uint64 { return s.nanoseconds() >> tickShift }

// hasBuffer tells whether the kernel reports this of the burst, told in ticks, as by
// upstream, or in bytes.
func (s shaper) hasBuffer(reported uint32) bool {
	return reported == s.upstreamTicks() || reported == uint32(s.ticks())
}

// isLegacy tells whether any of the links is shaped in the way of upstream 1.5.0
// and 1.5.1.
func isLegacy(links []netlink.Link) bool {
	return slices.ContainsFunc(links, func(l netlink.Link) bool {
		root, err := qdiscAt(l, netlink.HANDLE_ROOT)
		return err == nil && root != nil && root.Type() == "htb" && root.Handle == rootHandle
	})
}

// rootQdisc returns the root queueing discipline of l, or nil if it has none but
// the kernel's own.
func rootQdisc(l netlink.Link) (netlink.Qdisc, error) {
	qdiscs, err := netlinksafe.QdiscList(l)
	if err != nil {
		return nil, fmt.Errorf("list the queueing disciplines: %w", err)
	}
	for _, qdisc := range qdiscs {
		if attrs := qdisc.Attrs(); attrs.Parent == netlink.HANDLE_ROOT && attrs.Handle != netlink.HANDLE_NONE {
			return qdisc, nil
		}
	}
	return nil, nil
}

// qdiscAt returns the queueing discipline in a place of l, without its options,
// or nil if there is none but the kernel's own. It asks for one, not for all.
func qdiscAt(l netlink.Link, parent uint32) (*netlink.GenericQdisc, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETQDISC, unix.NLM_F_ECHO|unix.NLM_F_ACK) // others hear the answer otherwise
	request.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(l.Attrs().Index), Parent: parent})
	answer, err := netlinksafe.Execute(request)
	if ignoreGone(err) != nil {
		return nil, fmt.Errorf("look for a queueing discipline of %s: %w", l.Attrs().Name, err)
	}
	if err != nil || len(answer) != 1 {
		return nil, nil
	}
	message := nl.DeserializeTcMsg(answer[0])
	attrs, err := nl.ParseRouteAttrAsMap(answer[0][message.Len():])
	if err != nil || message.Handle == netlink.HANDLE_NONE {
		return nil, err
	}
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: message.Handle, Parent: parent},
		QdiscType:  unix.ByteSliceToString(attrs[nl.TCA_KIND].Value),
	}, nil
}

// unshape removes the shaper from l, which has been given one.
func unshape(l netlink.Link) error {
	root, err := qdiscAt(l, netlink.HANDLE_ROOT)
	if err != nil || root == nil || root.Handle != rootHandle || root.Type() != "tbf" {
		return err
	}
	return deleteQdisc(root)
}

// deleteQdisc deletes a queueing discipline with what is attached to it.
func deleteQdisc(q netlink.Qdisc) error {
	attrs := q.Attrs()
	request := nl.NewNetlinkRequest(unix.RTM_DELQDISC, unix.NLM_F_ACK)
	request.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(attrs.LinkIndex), Handle: attrs.Handle, Parent: attrs.Parent})
	_, err := netlinksafe.Execute(request)
	return ignoreGone(err)
}
