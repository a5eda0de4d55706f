// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"net/netip"
	"os"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/google/nftables"

	"github.com/containernetworking/plugins/internal/filelock"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

var _ = Describe("A change of iptables-legacy", func() {
	attachment := owner("podman", "c1", "eth0")
	chain := rulename.Chain(attachment.Network, attachment.ContainerID, "DN-")

	BeforeEach(func() { testutils.Need(GinkgoT(), "root", "iptables-legacy") })

	holdLock := func() *os.File {
		GinkgoHelper()
		Expect(os.MkdirAll("/run/cni", 0o755)).To(Succeed())
		file, err := os.OpenFile("/run/cni/netfilter.lock", os.O_CREATE|os.O_RDWR, 0o600)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(file.Close)
		Expect(filelock.Lock(file.Fd())).To(Succeed())
		return file
	}

	DescribeTable("waits for the lock",
		func(made, left string, remove func(context.Context) error) {
			testutils.Inside(testutils.TempNS(GinkgoT()), func() {
				run(made)
				lock := holdLock()
				hurried, cancel := context.WithTimeout(GinkgoT().Context(), 200*time.Millisecond)
				defer cancel()
				Expect(remove(hurried)).To(MatchError(ContainSubstring("/run/cni/netfilter.lock is held by")))
				Expect(run("iptables-legacy-save")).To(ContainSubstring(left))

				Expect(filelock.Unlock(lock.Fd())).To(Succeed())
				Expect(remove(GinkgoT().Context())).To(Succeed())
				Expect(run("iptables-legacy-save")).NotTo(ContainSubstring(left))
			})
		},
		Entry("that removes ports", "iptables-legacy -t nat -N CNI-HOSTPORT-DNAT; iptables-legacy -t nat -N "+chain+
			"; iptables-legacy -t nat -A CNI-HOSTPORT-DNAT -j "+chain, chain, func(ctx context.Context) error {
			_, err := netfilter.RemovePorts(ctx, attachment, netfilter.Mapped{}, alone{})
			return err
		}),
		Entry("that closes a gate", "iptables-legacy -N CNI-FORWARD; iptables-legacy -A CNI-FORWARD -s 10.1.0.2/32 -j ACCEPT", "10.1.0.2",
			func(ctx context.Context) error {
				return netfilter.CloseGate(ctx, attachment, []netip.Addr{netip.MustParseAddr("10.1.0.2")})
			}),
	)
})

// changing changes the ruleset of a namespace while f runs, with tables that have
// nothing to do with ours.
func changing(netns ns.NetNS, f func()) {
	GinkgoHelper()
	done := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		defer GinkgoRecover()
		within(netns, func() {
			c, err := nftables.New(nftables.AsLasting())
			Expect(err).NotTo(HaveOccurred())
			defer func() { _ = c.CloseLasting() }()
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				other := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "other"})
				Expect(c.Flush()).To(Succeed())
				c.DelTable(other)
				Expect(c.Flush()).To(Succeed())
			}
		})
	})
	defer others.Wait()
	defer close(done)
	f()
}

var _ = Describe("A change of iptables-nft", func() {
	It("that fills a chain anew gets through while others change nftables", func() {
		testutils.Need(GinkgoT(), "root", "iptables-nft", "ip6tables-nft")
		usePrograms("nft")
		mapper, err := netfilter.SelectPortMapper(netfilter.IPTables)
		Expect(err).NotTo(HaveOccurred())
		ports := netfilter.HostPorts{
			Containers: []netip.Prefix{netip.MustParsePrefix("10.88.0.2/16")}, SNAT: true, MarkBit: 13,
			Mappings: []netfilter.PortMapping{{Protocol: "tcp", HostPort: 8080, ContainerPort: 80}},
		}
		host := newNS()
		changing(host, func() {
			within(host, func() {
				for range 40 {
					Expect(mapper.MapPorts(GinkgoT().Context(), owner("podman", "c1", "eth0"), ports, alone{})).To(Succeed())
				}
			})
		})
	})
})
