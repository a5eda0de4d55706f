// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// BenchmarkList has the kernel search for the connections of one port, list all,
// and list all as text, beside others in the namespace:
//
//	go test -run '^$' -bench List -benchtime 50x ./pkg/utils/conntrack
func BenchmarkList(b *testing.B) {
	for _, others := range []int{1, 100, 10000} {
		b.Run(fmt.Sprintf("port/%d", others), func(b *testing.B) {
			benchmark(b, others, func() ([][]byte, error) {
				return list(Filter{Family: netlink.FAMILY_V4, Protocol: unix.IPPROTO_UDP, DstPort: 53})
			})
		})
		b.Run(fmt.Sprintf("all/%d", others), func(b *testing.B) { benchmark(b, others, listAll) })
		if others > fewConnections {
			continue
		}
		b.Run(fmt.Sprintf("text/%d", others), func(b *testing.B) {
			benchmark(b, others, func() ([][]byte, error) {
				if !areAbsent([]Filter{{Family: netlink.FAMILY_V4, Protocol: unix.IPPROTO_UDP, DstPort: 53}}, others) {
					return nil, errors.New("the list is incomplete")
				}
				return nil, nil
			})
		})
	}
}

func benchmark(b *testing.B, others int, list func() ([][]byte, error)) {
	testutils.Need(b, "root", "conntrack")
	RegisterTestingT(b)
	netns, err := ns.TempNetNS()
	if err != nil {
		b.Fatal(err)
	}
	defer netns.Close()
	err = netns.Do(func(ns.NetNS) error {
		for i := range others {
			track(flow{unix.IPPROTO_UDP, fmt.Sprintf("192.0.%d.%d", i/250, 1+i%250), 8000}, uint16(1000+i))
		}
		for b.Loop() {
			if _, err := list(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
