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

var _ = Describe("What mappings need beyond that of all", func() {
	var (
		ctx    = context.Background()
		netns  ns.NetNS
		mapper netfilter.PortMapper
	)
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "nftables", "nft-tool")
		netns = testutils.TempNS(GinkgoT())
		var err error
		mapper, err = netfilter.SelectPortMapper(netfilter.NFTables)
		Expect(err).NotTo(HaveOccurred())
	})
	conditional := func(n int) netfilter.HostPorts {
		return netfilter.HostPorts{
			Containers:   []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 88, 0, byte(n + 2)}), 16)},
			Mappings:     []netfilter.PortMapping{{Protocol: "tcp", HostPort: 8080 + uint16(n), ContainerPort: 80}},
			ConditionsV4: []string{"ip", "saddr", "1.2.3.0/24"},
			SNAT:         true,
		}
	}
	plain := func() netfilter.HostPorts {
		return netfilter.HostPorts{
			Containers: []netip.Prefix{netip.MustParsePrefix("10.88.0.2/16")}, SNAT: true,
			Mappings: []netfilter.PortMapping{{Protocol: "tcp", HostPort: 8080, ContainerPort: 80}},
		}
	}
	add := func(network, container string, ports netfilter.HostPorts) {
		GinkgoHelper()
		Expect(mapper.MapPorts(ctx, owner(network, container, "eth0"), ports, alone{})).To(Succeed())
	}
	del := func(network, container string, ports netfilter.HostPorts) {
		GinkgoHelper()
		Expect(netfilter.RemovePorts(ctx, owner(network, container, "eth0"), netfilter.Mapped{Ports: &ports}, alone{})).To(BeTrue())
	}
	// settled has the table as the first attachment leaves it.
	settled := func() string {
		GinkgoHelper()
		add("podman", "c0", plain())
		del("podman", "c0", plain())
		return ruleset()
	}

	It("goes with the last that have the same conditions", func() {
		testutils.Inside(netns, func() {
			before := settled()
			for n := range 2 {
				add("podman", fmt.Sprint("c", n), conditional(n))
			}
			del("podman", "c0", conditional(0))
			Expect(mapper.CheckPorts(ctx, owner("podman", "c1", "eth0"), conditional(1), alone{})).To(BeEmpty())
			del("podman", "c1", conditional(1))
			Expect(ruleset()).To(Equal(before))
		})
	})

	It("goes with the last of the network", func() {
		testutils.Inside(netns, func() {
			before := settled()
			other := plain()
			other.Mappings[0].HostPort++
			add("one", "c1", plain())
			add("two", "c2", other)
			Expect(ruleset()).To(MatchRegexp(`set sources16-`))
			del("two", "c2", other)
			Expect(ruleset()).NotTo(MatchRegexp(`sources\d+-`))
			Expect(mapper.CheckPorts(ctx, owner("one", "c1", "eth0"), plain(), alone{})).To(BeEmpty())
			del("one", "c1", plain())
			Expect(ruleset()).To(Equal(before))
		})
	})

	It("goes when GC comes, if it was left", func() {
		testutils.Inside(netns, func() {
			before := settled()
			for range 2 {
				add("podman", "c1", conditional(1))
				run(`for map in $(nft list table ip cni_portmap | sed -nE 's/^\tmap ((ports|addresses)-[^ ]*) .*/\1/p'); do nft flush map ip cni_portmap $map; done
					nft flush set ip cni_portmap sources8; nft flush set ip cni_portmap sources16`)
				Expect(ruleset()).NotTo(Equal(before))
				Expect(netfilter.GCPorts(ctx, plugin.NewAttachments("other", nil), func(string) bool { return false })).To(Succeed())
				Expect(ruleset()).To(Equal(before))
			}
		})
	})

	It("is there for those who come while others go", func() {
		var all sync.WaitGroup
		for n := range 4 {
			all.Go(func() {
				defer GinkgoRecover()
				testutils.Inside(netns, func() {
					for range 25 {
						container := fmt.Sprint("c", n)
						add("podman", container, conditional(n))
						Expect(mapper.CheckPorts(ctx, owner("podman", container, "eth0"), conditional(n), alone{})).To(BeEmpty())
						del("podman", container, conditional(n))
					}
				})
			})
		}
		all.Wait()
	})
})
