// SPDX-License-Identifier: Apache-2.0

//go:build linux

package link

import (
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func TestAttribute(t *testing.T) {
	message := nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize()
	message = append(message, nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated("eth0")).Serialize()...) // with padding
	message = append(message, nl.NewRtAttr(unix.IFLA_OPERSTATE, nl.Uint8Attr(6)).Serialize()...)
	families := nl.NewRtAttr(unix.IFLA_AF_SPEC|unix.NLA_F_NESTED, nil)
	families.AddRtAttr(unix.AF_INET, nl.Uint32Attr(1))
	families.AddRtAttr(unix.AF_INET6|unix.NLA_F_NESTED, nil).AddRtAttr(unix.IFLA_INET6_CONF, nl.Uint32Attr(7))
	message = append(message, families.Serialize()...)
	message = append(message, nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(1400)).Serialize()...)

	if name := nameIn(message); name != "eth0" {
		t.Errorf("name %q", name)
	}
	for _, want := range []struct {
		kinds []uint16
		value int
	}{
		{[]uint16{unix.IFLA_OPERSTATE}, 6},
		{[]uint16{unix.IFLA_MTU}, 1400},
		{[]uint16{unix.IFLA_AF_SPEC, unix.AF_INET}, 1},
		{[]uint16{unix.IFLA_AF_SPEC, unix.AF_INET6, unix.IFLA_INET6_CONF}, 7},
		{[]uint16{unix.IFLA_AF_SPEC, unix.AF_INET6, unix.IFLA_INET6_STATS}, 0},
		{[]uint16{unix.IFLA_TXQLEN}, 0},
	} {
		if got := number(attribute(message, want.kinds...)); got != want.value {
			t.Errorf("%v: %d, expected %d", want.kinds, got, want.value)
		}
	}
	for end := range message { // cut anywhere
		attribute(message[:end], unix.IFLA_AF_SPEC, unix.AF_INET6, unix.IFLA_INET6_CONF)
	}
}

func FuzzAttribute(f *testing.F) {
	f.Add([]byte("sixteen bytes...\x05\x00\x03\x00e\x00\x00\x00\x03\x00"), uint16(3), uint16(1))
	f.Fuzz(func(_ *testing.T, message []byte, outer, inner uint16) {
		number(attribute(message, outer, inner))
	})
}
