// SPDX-License-Identifier: Apache-2.0

//go:build linux

package nlattr_test

import (
	"bytes"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/utils/nlattr"
)

func TestGet(t *testing.T) {
	all := nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated("eth0")).Serialize() // with padding
	all = append(all, nl.NewRtAttr(unix.IFLA_OPERSTATE, nl.Uint8Attr(6)).Serialize()...)
	families := nl.NewRtAttr(unix.IFLA_AF_SPEC|unix.NLA_F_NESTED, nil)
	families.AddRtAttr(unix.AF_INET, nl.Uint32Attr(1))
	families.AddRtAttr(unix.AF_INET6|unix.NLA_F_NESTED, nil).AddRtAttr(unix.IFLA_INET6_CONF, nl.Uint32Attr(7))
	all = append(all, families.Serialize()...)
	all = append(all, nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(1400)).Serialize()...)

	for _, want := range []struct {
		kinds []uint16
		value []byte
	}{
		{[]uint16{unix.IFLA_IFNAME}, nl.ZeroTerminated("eth0")},
		{[]uint16{unix.IFLA_OPERSTATE}, nl.Uint8Attr(6)},
		{[]uint16{unix.IFLA_MTU}, nl.Uint32Attr(1400)},
		{[]uint16{unix.IFLA_AF_SPEC, unix.AF_INET}, nl.Uint32Attr(1)},
		{[]uint16{unix.IFLA_AF_SPEC, unix.AF_INET6, unix.IFLA_INET6_CONF}, nl.Uint32Attr(7)},
		{[]uint16{unix.IFLA_AF_SPEC, unix.AF_INET6, unix.IFLA_INET6_STATS}, nil},
		{[]uint16{unix.IFLA_TXQLEN}, nil},
	} {
		if got := nlattr.Attributes(all).Get(want.kinds...); !bytes.Equal(got, want.value) {
			t.Errorf("%v: %v, expected %v", want.kinds, got, want.value)
		}
	}
	for end := range all { // cut anywhere
		nlattr.Attributes(all[:end]).Get(unix.IFLA_AF_SPEC, unix.AF_INET6, unix.IFLA_INET6_CONF)
	}
}

func TestNumber(t *testing.T) {
	for want, value := range map[int][]byte{6: nl.Uint8Attr(6), 1 << 30: nl.Uint32Attr(1 << 30), 0: nil} {
		if got := nlattr.Number(value); got != want {
			t.Errorf("%v: %d, expected %d", value, got, want)
		}
	}
}

func FuzzGet(f *testing.F) {
	f.Add([]byte("\x05\x00\x03\x00e\x00\x00\x00\x03\x00"), uint16(3), uint16(1))
	f.Fuzz(func(_ *testing.T, data []byte, outer, inner uint16) {
		nlattr.Attributes(data).Get(outer, inner)
	})
}
