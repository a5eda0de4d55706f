// SPDX-License-Identifier: Apache-2.0

package netfilter_test

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/ns"
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

// addBench adds attachment number i.
func addBench(backend netfilter.Backend, i int) error {
	addr := &net.IPNet{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)), Mask: net.CIDRMask(8, 32)}
	return backend.Masquerade(context.Background(), owner("bench", fmt.Sprint(i), "eth0"), []*net.IPNet{addr})
}

// besideOthers measures f, for ever new attachments, beside 0 to 10,000 others.
// A namespace holds for one goroutine: nothing in it may start another benchmark.
func besideOthers(b *testing.B, f, prepare func(netfilter.Backend, int) error) {
	testutils.Need(b, "root", "nftables")
	for _, others := range []int{0, 100, 1000, 10000} {
		b.Run(fmt.Sprintf("beside-%d", others), func(b *testing.B) {
			netns, err := ns.TempNetNS()
			if err != nil {
				b.Fatal(err)
			}
			defer netns.Close()
			if err := netns.Do(func(ns.NetNS) error { return measure(b, others, f, prepare) }); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func measure(b *testing.B, others int, f, prepare func(netfilter.Backend, int) error) error {
	backend, err := netfilter.Select(context.Background(), "")
	if err != nil {
		return err
	}
	for i := range others {
		if err := addBench(backend, i); err != nil {
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
