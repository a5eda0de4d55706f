// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/containernetworking/cni/pkg/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

const oneAddress = `table ip cni_masquerade {
	set sources {
		type ipv4_addr
		elements = { 10.88.0.2 comment "podman/c1/eth0" }
	}

	set subnets16 {
		type ipv4_addr . ipv4_addr
		elements = { 10.88.0.2 . 10.88.0.0 comment "podman/c1/eth0" }
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr . ip daddr & 255.255.0.0 @subnets16 return
		ip daddr 224.0.0.0/4 return
		ip saddr @sources masquerade
	}

	chain owner/podman/c1/eth0 {
		ip saddr 10.88.0.2 ip daddr 10.88.0.0/16 comment "podman/c1/eth0"
	}
}`

const dualStack = `table ip cni_masquerade {
	set sources {
		type ipv4_addr
		elements = { 10.1.2.3 comment "podman/c1/eth0" }
	}

	set subnets32 {
		type ipv4_addr . ipv4_addr
		elements = { 10.1.2.3 . 10.1.2.3 comment "podman/c1/eth0" }
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr . ip daddr @subnets32 return
		ip daddr 224.0.0.0/4 return
		ip saddr @sources masquerade
	}

	chain owner/podman/c1/eth0 {
		ip saddr 10.1.2.3 ip daddr 10.1.2.3 comment "podman/c1/eth0"
	}
}
table ip6 cni_masquerade {
	set sources {
		type ipv6_addr
		elements = { fd00:1:2::3 comment "podman/c1/eth0" }
	}

	set subnets64 {
		type ipv6_addr . ipv6_addr
		elements = { fd00:1:2::3 . fd00:1:2:: comment "podman/c1/eth0" }
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip6 saddr . ip6 daddr & ffff:ffff:ffff:ffff:: @subnets64 return
		ip6 daddr ff00::/8 return
		ip6 saddr @sources masquerade
	}

	chain owner/podman/c1/eth0 {
		ip6 saddr fd00:1:2::3 ip6 daddr fd00:1:2::/64 comment "podman/c1/eth0"
	}
}`

// nothingLeft is what stays when nobody masquerades any more.
const nothingLeft = `table ip cni_masquerade {
	set sources {
		type ipv4_addr
	}

	set subnets16 {
		type ipv4_addr . ipv4_addr
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr . ip daddr & 255.255.0.0 @subnets16 return
		ip daddr 224.0.0.0/4 return
		ip saddr @sources masquerade
	}
}`

var _ = Describe("Masquerading with nftables", func() {
	var (
		ctx     context.Context
		backend netfilter.Backend
		c1      = owner("podman", "c1", "eth0")
		c2      = owner("podman", "c2", "eth0")
	)

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "nftables", "nft-tool")
		ctx = context.Background()
		var err error
		backend, err = netfilter.Select(netfilter.NFTables)
		Expect(err).NotTo(HaveOccurred())
	})

	It("writes one element and one chain for an attachment", inNewNS(func() {
		masquerade(backend, c1, "10.88.0.2/16")
		Expect(ruleset()).To(Equal(oneAddress))
	}))

	It("writes both families, and subnets of one address", inNewNS(func() {
		masquerade(backend, c1, "10.1.2.3/32", "fd00:1:2::3/64")
		Expect(ruleset()).To(Equal(dualStack))
	}))

	It("returns to all subnets of an attachment before it masquerades", inNewNS(func() {
		masquerade(backend, c1, "10.1.0.2/24", "10.1.0.3/24", "10.2.0.2/20")
		Expect(ruleset()).To(ContainSubstring(`
		ip saddr . ip daddr & 255.255.240.0 @subnets20 return
		ip saddr . ip daddr & 255.255.255.0 @subnets24 return
		ip daddr 224.0.0.0/4 return
		ip saddr @sources masquerade
	}

	chain owner/podman/c1/eth0 {
		ip saddr 10.1.0.2 ip daddr 10.1.0.0/24 comment "podman/c1/eth0"
		ip saddr 10.1.0.2 ip daddr 10.2.0.0/20 comment "podman/c1/eth0"
		ip saddr 10.1.0.3 ip daddr 10.1.0.0/24 comment "podman/c1/eth0"
		ip saddr 10.1.0.3 ip daddr 10.2.0.0/20 comment "podman/c1/eth0"
		ip saddr 10.2.0.2 ip daddr 10.1.0.0/24 comment "podman/c1/eth0"
		ip saddr 10.2.0.2 ip daddr 10.2.0.0/20 comment "podman/c1/eth0"
`))
	}))

	It("is lost when anything is flushed, but not when another owner has the address", inNewNS(func() {
		lost := func() bool { return lost(backend, c1, "10.88.0.2/16", "fd00:1:2::3/64") }
		Expect(lost()).To(BeTrue())
		for _, flush := range []string{
			"flush ruleset", "flush table ip6 cni_masquerade", "flush chain ip cni_masquerade postrouting",
			"flush set ip cni_masquerade sources", "flush set ip cni_masquerade subnets16", "flush set ip6 cni_masquerade sources",
			"flush chain ip cni_masquerade owner/podman/c1/eth0", "delete chain ip6 cni_masquerade owner/podman/c1/eth0",
		} {
			masquerade(backend, c1, "10.88.0.2/16", "fd00:1:2::3/64")
			Expect(lost()).To(BeFalse(), flush)
			run("nft " + flush)
			Expect(lost()).To(BeTrue(), flush)
		}
		masquerade(backend, c1, "10.88.0.2/16", "fd00:1:2::3/64")
		masquerade(backend, c2, "10.88.0.2/16")
		Expect(lost()).To(BeFalse())
	}))

	It("copes with many addresses, each of which has a rule for each subnet", inNewNS(func() {
		var many []string
		for i := range 64 {
			many = append(many, fmt.Sprintf("10.%d.0.2/24", i))
		}
		masquerade(backend, c1, many...)
		Expect(differences(backend, c1, many...)).To(BeEmpty())
		masquerade(backend, c1, "10.88.0.2/16")
		Expect(differences(backend, c1, "10.88.0.2/16")).To(BeEmpty())
		Expect(ruleset()).NotTo(ContainSubstring("/24"))
	}))

	It("writes what nft can read", inNewNS(func() {
		masquerade(backend, c1, "10.88.0.2/16", "10.1.2.3/32", "fd00:1:2::3/64")
		masquerade(backend, owner("99-ways.to_fail", "c1", "a@b:c~d"), "10.88.0.3/16")
		listing := ruleset()
		saved := filepath.Join(GinkgoT().TempDir(), "saved")
		run("nft list ruleset > " + saved + "; nft flush ruleset; nft -f " + saved)
		Expect(ruleset()).To(Equal(listing))
	}))

	It("changes nothing when done again", inNewNS(func() {
		masquerade(backend, c1, "10.88.0.2/16")
		before := run("nft -a list ruleset")
		masquerade(backend, c1, "10.88.0.2/16")
		Expect(run("nft -a list ruleset")).To(Equal(before))
	}))

	It("replaces what the owner had", inNewNS(func() {
		masquerade(backend, c1, "10.99.0.9/16", "10.88.0.9/16", "fd00::9/64")
		masquerade(backend, c1, "10.88.0.2/16")
		Expect(ruleset()).To(HavePrefix(oneAddress))
		Expect(ruleset()).NotTo(ContainSubstring("fd00::"))
	}))

	It("mends its base chain after a flush", inNewNS(func() {
		masquerade(backend, c1, "10.88.0.2/16")
		run("nft flush chain ip cni_masquerade postrouting")
		masquerade(backend, c1, "10.88.0.2/16")
		Expect(ruleset()).To(Equal(oneAddress))
		run("nft flush ruleset")
		masquerade(backend, c1, "10.88.0.2/16")
		Expect(ruleset()).To(Equal(oneAddress))
	}))

	It("reports every difference", inNewNS(func() {
		Expect(differences(backend, c1, "10.88.0.2/16")).To(ConsistOf(
			"table ip cni_masquerade: the rules of chain postrouting are not those that were written",
			"table ip cni_masquerade: chain postrouting has no rule for set subnets16",
			"table ip cni_masquerade: chain owner/podman/c1/eth0 does not have the record that was written",
			"table ip cni_masquerade: set sources lacks 10.88.0.2",
			"table ip cni_masquerade: set subnets16 lacks 10.88.0.2 . 10.88.0.0",
		))
		masquerade(backend, c1, "10.88.0.2/16")
		Expect(differences(backend, c1, "10.88.0.2/16")).To(BeEmpty())
		run("nft insert rule ip cni_masquerade postrouting accept; nft insert rule ip cni_masquerade owner/podman/c1/eth0 accept; nft flush set ip cni_masquerade subnets16")
		Expect(differences(backend, c1, "10.88.0.2/16")).To(ConsistOf(
			"table ip cni_masquerade: the rules of chain postrouting are not those that were written",
			"table ip cni_masquerade: chain owner/podman/c1/eth0 does not have the record that was written",
			"table ip cni_masquerade: set subnets16 lacks 10.88.0.2 . 10.88.0.0",
		))
		masquerade(backend, c2, "10.88.0.2/20")
		Expect(differences(backend, c1, "10.88.0.2/16")).To(ConsistOf(
			"table ip cni_masquerade: chain owner/podman/c1/eth0 does not have the record that was written",
			"table ip cni_masquerade: 10.88.0.2 in set sources belongs to podman/c2/eth0",
			"table ip cni_masquerade: set subnets16 lacks 10.88.0.2 . 10.88.0.0",
		))
	}))

	It("does not differ where another owner has an address for the same subnets", inNewNS(func() {
		different := func() []string { return differences(backend, c1, "10.88.0.2/16", "10.99.0.2/24", "fd00::2/64") }
		red := owner("red", "c2", "eth0")
		take := func() { masquerade(backend, red, "10.88.0.2/16", "10.99.0.2/24", "10.77.0.2/28", "fd00::2/64") }
		masquerade(backend, c1, "10.88.0.2/16", "10.99.0.2/24", "fd00::2/64")
		take()
		Expect(different()).To(BeEmpty())
		run("nft delete element ip cni_masquerade subnets16 '{ 10.99.0.2 . 10.88.0.0 }'")
		Expect(different()).To(ConsistOf(
			"table ip cni_masquerade: chain owner/podman/c1/eth0 does not have the record that was written",
			"table ip cni_masquerade: 10.99.0.2 in set sources belongs to red/c2/eth0",
			"table ip cni_masquerade: set subnets16 lacks 10.99.0.2 . 10.88.0.0",
		))
		for _, flush := range []string{
			"flush set ip cni_masquerade sources", "flush set ip6 cni_masquerade subnets64", "flush chain ip cni_masquerade postrouting",
			"delete rule ip cni_masquerade postrouting handle $(nft -a list chain ip cni_masquerade postrouting | sed -n 's/.*@subnets24.*handle //p')",
			"flush table ip6 cni_masquerade", "flush ruleset",
		} {
			take()
			Expect(different()).To(BeEmpty(), flush)
			run("nft " + flush)
			Expect(different()).NotTo(BeEmpty(), flush)
		}
	}))

	It("has the addresses that no other owner has taken", inNewNS(func() {
		masquerade(backend, c1, "10.88.0.2/16", "10.88.0.3/16")
		masquerade(backend, c2, "10.88.0.2/16")
		Expect(differences(backend, c1, "10.88.0.2/16", "10.88.0.3/16")).To(BeEmpty())
		run("nft flush chain ip cni_masquerade owner/podman/c1/eth0; nft delete element ip cni_masquerade sources { 10.88.0.3 }")
		Expect(differences(backend, c1, "10.88.0.2/16", "10.88.0.3/16")).To(ConsistOf(
			"table ip cni_masquerade: chain owner/podman/c1/eth0 does not have the record that was written",
			"table ip cni_masquerade: set sources lacks 10.88.0.3",
		))
	}))

	It("is available, which leaves no trace", inNewNS(func() {
		Expect(backend.Available(ctx)).To(Succeed())
		Expect(ruleset()).To(BeEmpty())
	}))

	It("needs no program", inNewNS(func() {
		path := GinkgoT()
		func() {
			defer path.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
			path.Setenv("PATH", "")
			masquerade(backend, c1, "10.88.0.2/16")
			Expect(netfilter.RemoveMasquerade(ctx, c1, nil)).To(Succeed())
			Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", nil))).To(Succeed())
		}()
		Expect(ruleset()).To(Equal(nothingLeft))
	}))

	Describe("removal", func() {
		It("takes only the owner's", inNewNS(func() {
			masquerade(backend, c1, "10.88.0.2/16")
			masquerade(backend, c2, "10.88.0.3/16", "fd00::3/64")
			masquerade(backend, owner("podman", "c2", "eth1"), "10.88.0.4/16")
			masquerade(backend, owner("other", "c2", "eth0"), "10.88.0.5/16")
			for _, gone := range []plugin.Owner{c2, owner("podman", "c2", "eth1"), owner("other", "c2", "eth0")} {
				Expect(netfilter.RemoveMasquerade(ctx, gone, nil)).To(Succeed())
			}
			Expect(ruleset()).To(HavePrefix(oneAddress))
			Expect(ruleset()).NotTo(ContainSubstring("c2"))
		}))

		It("leaves an address to the owner that has got it meanwhile", inNewNS(func() {
			masquerade(backend, c2, "10.88.0.2/16")
			masquerade(backend, c1, "10.88.0.2/16")
			Expect(netfilter.RemoveMasquerade(ctx, c2, addrs("10.88.0.2/16"))).To(Succeed())
			Expect(ruleset()).To(Equal(oneAddress))
		}))

		It("needs neither the table nor the rules of the chain", inNewNS(func() {
			Expect(netfilter.RemoveMasquerade(ctx, c1, addrs("10.88.0.2/16"))).To(Succeed())
			masquerade(backend, c1, "10.88.0.2/16")
			run("nft flush chain ip cni_masquerade owner/podman/c1/eth0")
			Expect(netfilter.RemoveMasquerade(ctx, c1, nil)).To(Succeed())
			Expect(netfilter.RemoveMasquerade(ctx, c1, nil)).To(Succeed())
			Expect(ruleset()).To(Equal(nothingLeft))
		}))

		It("needs the addresses without the chain", inNewNS(func() {
			masquerade(backend, c1, "10.88.0.2/16")
			run("nft delete chain ip cni_masquerade owner/podman/c1/eth0")
			Expect(netfilter.RemoveMasquerade(ctx, c2, addrs("10.88.0.2/16"))).To(Succeed())
			Expect(ruleset()).To(ContainSubstring("podman/c1/eth0"))
			Expect(netfilter.RemoveMasquerade(ctx, c1, addrs("10.88.0.2/16"))).To(Succeed())
			Expect(ruleset()).To(Equal(nothingLeft))
		}))
	})

	Describe("garbage collection", func() {
		It("takes what is not valid, of this network", inNewNS(func() {
			masquerade(backend, c1, "10.88.0.2/16")
			masquerade(backend, c2, "10.88.0.3/16", "fd00::3/64")
			masquerade(backend, owner("podman2", "c2", "eth0"), "10.89.0.3/16")
			Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", []types.GCAttachment{{ContainerID: "c1", IfName: "eth0"}, {ContainerID: "unknown", IfName: "eth0"}}))).To(Succeed())
			Expect(ruleset()).NotTo(ContainSubstring("podman/c2"))
			Expect(ruleset()).To(ContainSubstring("podman2/c2"))
			Expect(netfilter.GC(ctx, plugin.NewAttachments("podman2", nil))).To(Succeed())
			Expect(ruleset()).To(HavePrefix(oneAddress))
		}))

		It("finds chains whose addresses have been taken over, and elements whose chains have been flushed", inNewNS(func() {
			masquerade(backend, c2, "10.88.0.2/16")
			masquerade(backend, owner("podman", "c3", "eth0"), "10.88.0.3/16")
			run("nft flush chain ip cni_masquerade owner/podman/c3/eth0")
			masquerade(backend, c1, "10.88.0.2/16")
			Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", []types.GCAttachment{{ContainerID: "c1", IfName: "eth0"}}))).To(Succeed())
			Expect(ruleset()).To(Equal(oneAddress))
		}))
	})

	It("bears 50 parallel additions and removals", func() {
		netns := testutils.TempNS(GinkgoT())
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				defer GinkgoRecover()
				container, address := fmt.Sprintf("c%d", i), fmt.Sprintf("10.88.1.%d/16", i)
				Expect(netns.Do(func(ns.NetNS) error {
					for range 5 {
						o := owner("podman", container, "eth0")
						if err := backend.Masquerade(ctx, o, addrs(address, fmt.Sprintf("fd00::%d/64", i))); err != nil {
							return err
						}
						if found, err := backend.CheckMasquerade(ctx, o, addrs(address)); err != nil || len(found) > 0 {
							return fmt.Errorf("%v %v", found, err)
						}
						if err := netfilter.RemoveMasquerade(ctx, o, nil); err != nil {
							return err
						}
					}
					return nil
				})).To(Succeed())
			})
		}
		all.Wait()
		testutils.Inside(netns, func() {
			Expect(ruleset()).To(HavePrefix(nothingLeft))
			Expect(ruleset()).NotTo(ContainSubstring("owner/"))
		})
	})

	It("gives an address that 20 owners fight for to one of them", func() {
		netns := testutils.TempNS(GinkgoT())
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				defer GinkgoRecover()
				Expect(netns.Do(func(ns.NetNS) error {
					o := owner("podman", fmt.Sprintf("c%d", i), "eth0")
					for range 5 {
						if err := backend.Masquerade(ctx, o, addrs("10.88.0.2/16")); err != nil {
							return err
						}
						if err := netfilter.RemoveMasquerade(ctx, o, nil); err != nil {
							return err
						}
					}
					return nil
				})).To(Succeed())
			})
		}
		all.Wait()
		testutils.Inside(netns, func() { Expect(ruleset()).To(Equal(nothingLeft)) })
	})
})
