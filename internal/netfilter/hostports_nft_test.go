// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("Ports of containers that have the same address in four networks", func() {
	const networks = 4
	var (
		ctx    = context.Background()
		netns  ns.NetNS
		mapper netfilter.PortMapper
	)
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "nftables")
		netns = testutils.TempNS(GinkgoT())
		var err error
		mapper, err = netfilter.SelectPortMapper(netfilter.NFTables)
		Expect(err).NotTo(HaveOccurred())
	})
	ownerIn := func(n int) plugin.Owner { return owner(fmt.Sprint("net", n), fmt.Sprint("c", n), "eth0") }
	mapped := func(port uint16) netfilter.HostPorts {
		return netfilter.HostPorts{
			Containers: []netip.Prefix{netip.MustParsePrefix("10.88.0.2/16"), netip.MustParsePrefix("fd88::2/64")},
			Mappings:   []netfilter.PortMapping{{Protocol: "tcp", HostPort: port, ContainerPort: 80}},
			SNAT:       true,
		}
	}
	// mapAtOnce returns what became of each.
	mapAtOnce := func(portOf func(n int) uint16) []error {
		errs := make([]error, networks)
		var all sync.WaitGroup
		for n := range networks {
			all.Go(func() {
				errs[n] = netns.Do(func(ns.NetNS) error { return mapper.MapPorts(ctx, ownerIn(n), mapped(portOf(n)), alone{}) })
			})
		}
		all.Wait()
		return errs
	}
	complete := func(n int, port uint16) {
		GinkgoHelper()
		testutils.Inside(netns, func() { Expect(mapper.CheckPorts(ctx, ownerIn(n), mapped(port), alone{})).To(BeEmpty()) })
	}
	remove := func(n int, port uint16) {
		GinkgoHelper()
		testutils.Inside(netns, func() {
			ports := mapped(port)
			Expect(netfilter.RemovePorts(ctx, ownerIn(n), netfilter.Mapped{Ports: &ports}, alone{})).To(BeTrue())
		})
	}

	It("are each one's own when all are mapped at once", func() {
		portOf := func(n int) uint16 { return 8080 + uint16(n) }
		for range 10 {
			Expect(mapAtOnce(portOf)).To(HaveEach(BeNil()))
			for n := range networks {
				for other := n; other < networks; other++ {
					complete(other, portOf(other))
				}
				remove(n, portOf(n))
			}
		}
	})

	It("have one owner when all want the same at once", func() {
		for range 10 {
			winner := -1
			for n, err := range mapAtOnce(func(int) uint16 { return 8080 }) {
				if err == nil {
					Expect(winner).To(Equal(-1), "the first of two")
					winner = n
					continue
				}
				Expect(err).To(MatchError(ContainSubstring("8080/tcp is held by container c")))
			}
			Expect(winner).NotTo(Equal(-1))
			complete(winner, 8080)
			remove(winner, 8080)
		}
	})
})
