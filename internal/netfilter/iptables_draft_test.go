// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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
	masquerading := rulename.Chain(attachment.Network, attachment.ContainerID, "")

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
		Entry("that ends masquerading", "iptables-legacy -t nat -N "+masquerading+"; iptables-legacy -t nat -A POSTROUTING -s 10.1.0.2/32 -j "+masquerading,
			"10.1.0.2", func(ctx context.Context) error {
				return netfilter.RemoveMasquerade(ctx, attachment, addrs("10.1.0.2/24"))
			}),
	)

	It("succeeds when two remove the same at once", func() {
		usePrograms("legacy")
		host := testutils.TempNS(GinkgoT())
		changes := changesByPrograms()
		for range 10 {
			testutils.Inside(host, func() {
				Expect(changes["ports"](GinkgoT().Context())).To(Succeed())
				Expect(changes["masquerading"](GinkgoT().Context())).To(Succeed())
			})
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() {
					defer GinkgoRecover()
					testutils.Inside(host, func() {
						_, err := netfilter.RemovePorts(GinkgoT().Context(), attachment, netfilter.Mapped{}, alone{})
						Expect(err).NotTo(HaveOccurred())
						Expect(netfilter.RemoveMasquerade(GinkgoT().Context(), attachment, addrs("10.88.0.2/16", "fd88::2/64"))).To(Succeed())
					})
				})
			}
			both.Wait()
			testutils.Inside(host, func() { Expect(run("iptables-save")).NotTo(ContainSubstring("10.88.0.2")) })
		}
	})
})

// changing changes the ruleset of a namespace while f runs, with tables that have
// nothing to do with ours.
func changing(netns ns.NetNS, f func()) {
	GinkgoHelper()
	done := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		defer GinkgoRecover()
		testutils.Inside(netns, func() {
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

// meanwhile has iptables-restore run a script first, which finds the programs of
// usePrograms and, in $n, how often it has been started.
func meanwhile(script string) {
	GinkgoHelper()
	meanwhileOf("iptables", script)
}

// meanwhileOf does so for iptables or ip6tables.
func meanwhileOf(program, script string) {
	GinkgoHelper()
	dir := os.Getenv("PATH")
	restore := filepath.Join(dir, program+"-restore")
	target, err := os.Readlink(restore)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Remove(restore)).To(Succeed())
	starts := filepath.Join(dir, "starts")
	Expect(os.WriteFile(starts, nil, 0o644)).To(Succeed())
	Expect(os.WriteFile(restore, fmt.Appendf(nil, `#!/bin/sh
echo >>%[1]s; n=0; while read -r line; do n=$((n+1)); done <%[1]s
%s
exec %s "$@"
`, starts, script, target), 0o755)).To(Succeed())
}

// restores returns how often iptables-restore was started since meanwhile.
func restores() int {
	GinkgoHelper()
	starts, err := os.ReadFile(filepath.Join(os.Getenv("PATH"), "starts"))
	Expect(err).NotTo(HaveOccurred())
	return len(starts)
}

// changesByPrograms returns changes for an attachment that iptables-save and
// iptables-restore are started for.
func changesByPrograms() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"ports": func(ctx context.Context) error {
			mapper, err := netfilter.SelectPortMapper(netfilter.IPTables)
			Expect(err).NotTo(HaveOccurred())
			return mapper.MapPorts(ctx, owner("podman", "c1", "eth0"), netfilter.HostPorts{
				Containers: []netip.Prefix{netip.MustParsePrefix("10.88.0.2/16"), netip.MustParsePrefix("fd88::2/64")}, SNAT: true, MarkBit: 13,
				Mappings: []netfilter.PortMapping{{Protocol: "tcp", HostPort: 8080, ContainerPort: 80}},
			}, alone{})
		},
		"masquerading": func(ctx context.Context) error {
			backend, err := netfilter.Select(netfilter.IPTables)
			Expect(err).NotTo(HaveOccurred())
			return backend.Masquerade(ctx, owner("podman", "c1", "eth0"), addrs("10.88.0.2/16", "fd88::2/64"))
		},
		"gate": func(ctx context.Context) error {
			gate, err := netfilter.SelectGate(ctx, netfilter.IPTables)
			Expect(err).NotTo(HaveOccurred())
			return gate.Open(ctx, owner("podman", "c1", "eth0"), netfilter.Passage{Addrs: []netip.Addr{netip.MustParseAddr("10.88.0.2"), netip.MustParseAddr("fd88::2")}, AdminChain: "CNI-ADMIN"})
		},
	}
}

var _ = Describe("A change by the programs of iptables", func() {
	for _, variant := range []string{"nft", "legacy"} {
		BeforeEach(func() { testutils.Need(GinkgoT(), "root", "iptables-"+variant, "ip6tables-"+variant) })

		for name, change := range changesByPrograms() {
			It("is planned anew when somebody deletes all chains before it is carried out: "+name+", with iptables-"+variant, inNewNS(func() {
				usePrograms(variant)
				Expect(change(GinkgoT().Context())).To(Succeed())
				table := "nat"
				if name == "gate" {
					table = "filter"
				}
				run("iptables -t " + table + " -F") // so that there is something to change
				// The programs refuse some of what they read: here all of it.
				meanwhile(fmt.Sprintf(`if [ $n = 1 ]; then iptables -t %[1]s -F; iptables -t %[1]s -X; echo refused >&2; exit 1; fi`, table))
				Expect(change(GinkgoT().Context())).To(Succeed())
				Expect(restores()).To(Equal(2))
				Expect(run("iptables-save -t " + table)).To(ContainSubstring("10.88.0.2"))
			}))

			It("is given up at once where somebody has the lock: "+name+", with iptables-"+variant, inNewNS(func() {
				usePrograms(variant)
				meanwhile(`echo "Another app is currently holding the xtables lock. Stopped waiting after 5s." >&2; exit 4`)
				Expect(change(GinkgoT().Context())).To(MatchError(ContainSubstring("is held by another process")))
				Expect(restores()).To(Equal(1))
			}))
		}
	}
})

var _ = Describe("A removal of what iptables-legacy has of both families", func() {
	attachment := owner("podman", "c1", "eth0")
	removals := map[string]func(context.Context) error{
		"ports": func(ctx context.Context) error {
			_, err := netfilter.RemovePorts(ctx, attachment, netfilter.Mapped{}, alone{})
			return err
		},
		"masquerading": func(ctx context.Context) error {
			return netfilter.RemoveMasquerade(ctx, attachment, addrs("10.88.0.2/16", "fd88::2/64"))
		},
		"gate": func(ctx context.Context) error { return netfilter.CloseGate(ctx, attachment, nil) },
	}
	for name, remove := range removals {
		It("waits for the lock once: "+name, inNewNS(func() {
			testutils.Need(GinkgoT(), "root", "iptables-legacy", "ip6tables-legacy")
			usePrograms("legacy")
			Expect(changesByPrograms()[name](GinkgoT().Context())).To(Succeed())
			const lockedOut = `echo "Another app is currently holding the xtables lock. Stopped waiting after 5s." >&2; exit 4`
			for _, program := range []string{"iptables", "ip6tables"} {
				meanwhileOf(program, lockedOut)
			}
			Expect(remove(GinkgoT().Context())).To(MatchError(ContainSubstring("is held by another process")))
			Expect(restores()).To(Equal(1))
		}))
	}
})

var _ = Describe("A change of iptables-nft", func() {
	It("that fills a chain anew gets through while others change nftables", func() {
		testutils.Need(GinkgoT(), "root", "iptables-nft", "ip6tables-nft")
		usePrograms("nft")
		host := testutils.TempNS(GinkgoT())
		changing(host, func() {
			testutils.Inside(host, func() {
				for range 40 {
					Expect(changesByPrograms()["ports"](GinkgoT().Context())).To(Succeed())
				}
			})
		})
	})
})
