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

// BenchmarkMasquerade adds and removes an attachment beside others, with the
// backend that Select prefers:
//
//	go test -bench . -run '^$' ./internal/netfilter
func BenchmarkMasquerade(b *testing.B) {
	testutils.Need(b, "root", "nftables")
	for _, others := range []int{0, 100, 1000, 10000} {
		b.Run(fmt.Sprintf("beside %d", others), func(b *testing.B) {
			netns, err := ns.TempNetNS()
			if err != nil {
				b.Fatal(err)
			}
			defer netns.Close()
			if err := netns.Do(func(ns.NetNS) error { return benchmarkMasquerade(b, others) }); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func benchmarkMasquerade(b *testing.B, others int) error {
	ctx := context.Background()
	backend, err := netfilter.Select(ctx, "")
	if err != nil {
		return err
	}
	address := func(i int) []*net.IPNet {
		return []*net.IPNet{{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)), Mask: net.CIDRMask(8, 32)}}
	}
	for i := range others {
		if err := backend.Masquerade(ctx, owner("bench", fmt.Sprint("other", i), "eth0"), address(i)); err != nil {
			return err
		}
	}
	own := owner("bench", "own", "eth0")
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			if err := backend.Masquerade(ctx, own, address(others)); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := netfilter.RemoveMasquerade(ctx, own, nil); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	b.Run("remove", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			if err := backend.Masquerade(ctx, own, address(others)); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if err := netfilter.RemoveMasquerade(ctx, own, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	return nil
}
