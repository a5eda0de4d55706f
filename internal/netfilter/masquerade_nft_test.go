// SPDX-License-Identifier: Apache-2.0

package netfilter_test

import (
	"context"
	"fmt"
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
	map sources {
		type ipv4_addr : verdict
		elements = { 10.88.0.2 comment "podman/c1/eth0" : goto owner_vc5vh7ygr7axxu4skumu }
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip daddr 224.0.0.0/4 return
		ip saddr vmap @sources
	}

	chain owner_vc5vh7ygr7axxu4skumu {
		ip daddr 10.88.0.0/16 return comment "podman/c1/eth0"
		ip saddr 10.88.0.2 masquerade comment "podman/c1/eth0"
	}
}`

const dualStack = `table ip cni_masquerade {
	map sources {
		type ipv4_addr : verdict
		elements = { 10.1.2.3 comment "podman/c1/eth0" : goto owner_vc5vh7ygr7axxu4skumu }
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip daddr 224.0.0.0/4 return
		ip saddr vmap @sources
	}

	chain owner_vc5vh7ygr7axxu4skumu {
		ip daddr 10.1.2.3 return comment "podman/c1/eth0"
		ip saddr 10.1.2.3 masquerade comment "podman/c1/eth0"
	}
}
table ip6 cni_masquerade {
	map sources {
		type ipv6_addr : verdict
		elements = { fd00:1:2::3 comment "podman/c1/eth0" : goto owner_vc5vh7ygr7axxu4skumu }
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip6 daddr ff00::/8 return
		ip6 saddr vmap @sources
	}

	chain owner_vc5vh7ygr7axxu4skumu {
		ip6 daddr fd00:1:2::/64 return comment "podman/c1/eth0"
		ip6 saddr fd00:1:2::3 masquerade comment "podman/c1/eth0"
	}
}`

// nothingLeft is what stays when nobody masquerades any more.
const nothingLeft = `table ip cni_masquerade {
	map sources {
		type ipv4_addr : verdict
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip daddr 224.0.0.0/4 return
		ip saddr vmap @sources
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
		backend, err = netfilter.Select(ctx, netfilter.NFTables)
		Expect(err).NotTo(HaveOccurred())
	})

	masquerade := func(owner plugin.Owner, list ...string) {
		GinkgoHelper()
		Expect(backend.Masquerade(ctx, owner, addrs(list...))).To(Succeed())
	}
	differences := func(owner plugin.Owner, list ...string) []string {
		GinkgoHelper()
		found, err := backend.CheckMasquerade(ctx, owner, addrs(list...))
		Expect(err).NotTo(HaveOccurred())
		return found
	}

	It("writes one element and one chain for an attachment", inNewNS(func() {
		masquerade(c1, "10.88.0.2/16")
		Expect(ruleset()).To(Equal(oneAddress))
	}))

	It("writes both families, and subnets of one address", inNewNS(func() {
		masquerade(c1, "10.1.2.3/32", "fd00:1:2::3/64")
		Expect(ruleset()).To(Equal(dualStack))
	}))

	It("returns to all subnets of an attachment before it masquerades", inNewNS(func() {
		masquerade(c1, "10.1.0.2/24", "10.1.0.3/24", "10.2.0.2/20")
		Expect(ruleset()).To(ContainSubstring(`
		ip daddr 10.1.0.0/24 return comment "podman/c1/eth0"
		ip daddr 10.2.0.0/20 return comment "podman/c1/eth0"
		ip saddr 10.1.0.2 masquerade comment "podman/c1/eth0"
		ip saddr 10.1.0.3 masquerade comment "podman/c1/eth0"
		ip saddr 10.2.0.2 masquerade comment "podman/c1/eth0"
`))
	}))

	It("changes nothing when done again", inNewNS(func() {
		masquerade(c1, "10.88.0.2/16")
		before := run("nft -a list ruleset")
		masquerade(c1, "10.88.0.2/16")
		Expect(run("nft -a list ruleset")).To(Equal(before))
	}))

	It("replaces what the owner had", inNewNS(func() {
		masquerade(c1, "10.99.0.9/16", "10.88.0.9/16", "fd00::9/64")
		masquerade(c1, "10.88.0.2/16")
		Expect(ruleset()).To(HavePrefix(oneAddress))
		Expect(ruleset()).NotTo(ContainSubstring("fd00::"))
	}))

	It("mends its base chain after a flush", inNewNS(func() {
		masquerade(c1, "10.88.0.2/16")
		run("nft flush chain ip cni_masquerade postrouting")
		masquerade(c1, "10.88.0.2/16")
		Expect(ruleset()).To(Equal(oneAddress))
		run("nft flush ruleset")
		masquerade(c1, "10.88.0.2/16")
		Expect(ruleset()).To(Equal(oneAddress))
	}))

	It("reports every difference", inNewNS(func() {
		Expect(differences(c1, "10.88.0.2/16")).To(ConsistOf(
			"table ip cni_masquerade: chain postrouting is missing",
			"table ip cni_masquerade: chain owner_vc5vh7ygr7axxu4skumu is missing",
			"table ip cni_masquerade: map sources has no element 10.88.0.2",
		))
		masquerade(c1, "10.88.0.2/16")
		Expect(differences(c1, "10.88.0.2/16")).To(BeEmpty())
		run("nft flush chain ip cni_masquerade postrouting; nft insert rule ip cni_masquerade owner_vc5vh7ygr7axxu4skumu accept")
		Expect(differences(c1, "10.88.0.2/16", "10.88.0.3/16")).To(ConsistOf(
			"table ip cni_masquerade: chain postrouting has 0 rules, want 2",
			"table ip cni_masquerade: the rules of chain owner_vc5vh7ygr7axxu4skumu have been changed",
			"table ip cni_masquerade: map sources has no element 10.88.0.3",
		))
		masquerade(c2, "10.88.0.2/16")
		Expect(differences(c1, "10.88.0.2/16")).To(ContainElement("table ip cni_masquerade: element 10.88.0.2 of map sources belongs to podman/c2/eth0"))
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
			masquerade(c1, "10.88.0.2/16")
			Expect(netfilter.RemoveMasquerade(ctx, c1, nil)).To(Succeed())
			Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", nil))).To(Succeed())
		}()
		Expect(ruleset()).To(Equal(nothingLeft))
	}))

	Describe("removal", func() {
		It("takes only the owner's", inNewNS(func() {
			masquerade(c1, "10.88.0.2/16")
			masquerade(c2, "10.88.0.3/16", "fd00::3/64")
			masquerade(owner("podman", "c2", "eth1"), "10.88.0.4/16")
			masquerade(owner("other", "c2", "eth0"), "10.88.0.5/16")
			for _, gone := range []plugin.Owner{c2, owner("podman", "c2", "eth1"), owner("other", "c2", "eth0")} {
				Expect(netfilter.RemoveMasquerade(ctx, gone, nil)).To(Succeed())
			}
			Expect(ruleset()).To(HavePrefix(oneAddress))
			Expect(ruleset()).NotTo(ContainSubstring("c2"))
		}))

		It("leaves an address to the owner that has got it meanwhile", inNewNS(func() {
			masquerade(c2, "10.88.0.2/16")
			masquerade(c1, "10.88.0.2/16")
			Expect(netfilter.RemoveMasquerade(ctx, c2, addrs("10.88.0.2/16"))).To(Succeed())
			Expect(ruleset()).To(Equal(oneAddress))
		}))

		It("needs neither the table nor the rules of the chain", inNewNS(func() {
			Expect(netfilter.RemoveMasquerade(ctx, c1, addrs("10.88.0.2/16"))).To(Succeed())
			masquerade(c1, "10.88.0.2/16")
			run("nft flush chain ip cni_masquerade owner_vc5vh7ygr7axxu4skumu")
			Expect(netfilter.RemoveMasquerade(ctx, c1, nil)).To(Succeed())
			Expect(netfilter.RemoveMasquerade(ctx, c1, nil)).To(Succeed())
			Expect(ruleset()).To(Equal(nothingLeft))
		}))
	})

	Describe("garbage collection", func() {
		It("takes what is not valid, of this network", inNewNS(func() {
			masquerade(c1, "10.88.0.2/16")
			masquerade(c2, "10.88.0.3/16", "fd00::3/64")
			masquerade(owner("podman2", "c2", "eth0"), "10.89.0.3/16")
			Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", []types.GCAttachment{{ContainerID: "c1", IfName: "eth0"}, {ContainerID: "unknown", IfName: "eth0"}}))).To(Succeed())
			Expect(ruleset()).NotTo(ContainSubstring("podman/c2"))
			Expect(ruleset()).To(ContainSubstring("podman2/c2"))
			Expect(netfilter.GC(ctx, plugin.NewAttachments("podman2", nil))).To(Succeed())
			Expect(ruleset()).To(HavePrefix(oneAddress))
		}))

		It("finds chains whose addresses have been taken over, and elements whose chains have been flushed", inNewNS(func() {
			masquerade(c2, "10.88.0.2/16")
			masquerade(owner("podman", "c3", "eth0"), "10.88.0.3/16")
			run("nft flush chain ip cni_masquerade " + owner("podman", "c3", "eth0").Name("owner_", 26))
			masquerade(c1, "10.88.0.2/16")
			Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", []types.GCAttachment{{ContainerID: "c1", IfName: "eth0"}}))).To(Succeed())
			Expect(ruleset()).To(Equal(oneAddress))
		}))
	})

	It("bears 50 parallel additions and removals", func() {
		netns := newNS()
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
		within(netns, func() {
			Expect(ruleset()).To(HavePrefix(nothingLeft))
			Expect(ruleset()).NotTo(ContainSubstring("owner_"))
		})
	})

	It("gives an address that 20 owners fight for to one of them", func() {
		netns := newNS()
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
		within(netns, func() { Expect(ruleset()).To(Equal(nothingLeft)) })
	})
})
