// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// BenchmarkMasquerade adds an attachment beside others, and BenchmarkRemoveMasquerade
// removes one, with the backend that Select prefers:
//
//	go test -run '^$' -bench Masquerade -benchtime 100x ./internal/netfilter
func BenchmarkMasquerade(b *testing.B) {
	besideOthers(b, addBench, nil)
}

func BenchmarkRemoveMasquerade(b *testing.B) {
	besideOthers(b, func(_ netfilter.Backend, i int) error {
		return netfilter.RemoveMasquerade(context.Background(), owner("bench", fmt.Sprint(i), "eth0"), nil)
	}, addBench)
}

// BenchmarkMapPorts maps a port beside others, and BenchmarkRemovePorts removes
// one, with nftables:
//
//	go test -run '^$' -bench Ports -benchtime 100x ./internal/netfilter
func BenchmarkMapPorts(b *testing.B) {
	besideOthersOf(b, mapBench, mapBench, nil)
}

func BenchmarkRemovePorts(b *testing.B) {
	besideOthersOf(b, mapBench, func(_ netfilter.Backend, i int) error {
		ports := benchPorts(i)
		_, err := netfilter.RemovePorts(context.Background(), owner("bench", fmt.Sprint(i), "eth0"), netfilter.Mapped{Ports: &ports}, alone{})
		return err
	}, mapBench)
}

// alone knows of nobody else.
type alone struct{}

func (alone) Gone(string) bool                            { return false }
func (alone) ContainerGone(_, _ string) bool              { return false }
func (alone) Siblings(plugin.Owner) []netfilter.HostPorts { return nil }

// mapBench maps a port to attachment number i: there are more attachments than
// ports, so that protocols take turns.
func mapBench(_ netfilter.Backend, i int) error {
	backend, err := netfilter.SelectPortMapper(netfilter.NFTables)
	if err != nil {
		return err
	}
	return backend.MapPorts(context.Background(), owner("bench", fmt.Sprint(i), "eth0"), benchPorts(i), alone{})
}

func benchPorts(i int) netfilter.HostPorts {
	return netfilter.HostPorts{
		Containers: []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 8),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}), 64),
		},
		Mappings: []netfilter.PortMapping{{Protocol: []string{"tcp", "udp", "sctp"}[i/50000], HostPort: uint16(10000 + i%50000), ContainerPort: 80}},
		SNAT:     true,
	}
}

// addBench adds attachment number i.
func addBench(backend netfilter.Backend, i int) error {
	addr := &net.IPNet{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)), Mask: net.CIDRMask(8, 32)}
	return backend.Masquerade(context.Background(), owner("bench", fmt.Sprint(i), "eth0"), []*net.IPNet{addr})
}

// besideOthers measures f, for ever new attachments, beside 0 to 10,000 others.
// A namespace holds for one goroutine: nothing in it may start another benchmark.
func besideOthers(b *testing.B, f, prepare func(netfilter.Backend, int) error) {
	besideOthersOf(b, addBench, f, prepare)
}

func besideOthersOf(b *testing.B, other, f, prepare func(netfilter.Backend, int) error) {
	testutils.Need(b, "root", "nftables")
	for _, others := range []int{0, 100, 1000, 10000} {
		b.Run(fmt.Sprintf("beside-%d", others), func(b *testing.B) {
			netns, err := ns.TempNetNS()
			if err != nil {
				b.Fatal(err)
			}
			defer netns.Close()
			if err := netns.Do(func(ns.NetNS) error { return measure(b, others, other, f, prepare) }); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func measure(b *testing.B, others int, other, f, prepare func(netfilter.Backend, int) error) error {
	backend, err := netfilter.Select("")
	if err != nil {
		return err
	}
	for i := range others {
		if err := other(backend, i); err != nil {
			return err
		}
	}
	for i := others; b.Loop(); i++ {
		if prepare != nil {
			b.StopTimer()
			if err := prepare(backend, i); err != nil {
				return err
			}
			b.StartTimer()
		}
		if err := f(backend, i); err != nil {
			return err
		}
	}
	return nil
}
