// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/containernetworking/cni/pkg/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/utils/rulename"
)

// usePrograms makes the names iptables, ip6tables and so on stand for a variant,
// and puts nothing else into PATH.
func usePrograms(variant string) {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	for _, name := range []string{"iptables", "ip6tables"} {
		for _, which := range []string{"", "-save", "-restore"} {
			program := strings.TrimSpace(run("command -v " + name + "-" + variant + which))
			Expect(os.Symlink(program, filepath.Join(dir, name+which))).To(Succeed())
		}
	}
	GinkgoT().Setenv("PATH", dir)
	GinkgoT().Setenv("XTABLES_LOCKFILE", filepath.Join(dir, "lock"))
}

// natRules returns the rules of both families, without the empty base chains.
func natRules() string {
	GinkgoHelper()
	listing := run("iptables-save -t nat; ip6tables-save -t nat")
	return regexp.MustCompile(`(?m)^([#*:].*|COMMIT)\n`).ReplaceAllString(listing, "")
}

// chains returns the names of the CNI chains of both families.
func chains() []string {
	GinkgoHelper()
	return regexp.MustCompile(`(?m)^:CNI-\S+`).FindAllString(run("iptables-save -t nat; ip6tables-save -t nat"), -1)
}

// asUpstream returns commands that do what the plugins did up to version 1.9.
func asUpstream(network, container, address, length string) string {
	iptables, multicast := "iptables", "224.0.0.0/4"
	if strings.Contains(address, ":") {
		iptables, multicast = "ip6tables", "ff00::/8"
	}
	return strings.NewReplacer(
		"IPT", iptables+" -t nat",
		"CHAIN", rulename.Chain(network, container, ""),
		"COMMENT", fmt.Sprintf(`-m comment --comment 'name: "%s" id: "%s"'`, network, container),
		"ADDRESS", address, "LENGTH", length, "MULTICAST", multicast,
	).Replace(`
IPT -N CHAIN 2>&1 || true
IPT -A CHAIN -d ADDRESS/LENGTH -j ACCEPT COMMENT
IPT -A CHAIN ! -d MULTICAST -j MASQUERADE COMMENT
IPT -A POSTROUTING -s ADDRESS -j CHAIN COMMENT
`)
}

const sharedChain = `-A POSTROUTING -s 10.1.0.2/32 -m comment --comment "name: \"podman\" id: \"c1\"" -j CNI-e66d029a8054f32421007970
-A POSTROUTING -s 10.2.0.2/32 -m comment --comment "name: \"podman\" id: \"c1\"" -j CNI-e66d029a8054f32421007970
-A POSTROUTING -s 10.3.0.2/32 -m comment --comment "name: \"podman\" id: \"c1\"" -j CNI-e66d029a8054f32421007970
-A CNI-e66d029a8054f32421007970 -d 10.1.0.0/24 -m comment --comment "name: \"podman\" id: \"c1\"" -j ACCEPT
-A CNI-e66d029a8054f32421007970 -d 10.2.0.0/24 -m comment --comment "name: \"podman\" id: \"c1\"" -j ACCEPT
-A CNI-e66d029a8054f32421007970 -d 10.3.0.0/24 -m comment --comment "name: \"podman\" id: \"c1\"" -j ACCEPT
-A CNI-e66d029a8054f32421007970 ! -d 224.0.0.0/4 -m comment --comment "name: \"podman\" id: \"c1\"" -j MASQUERADE
`

const oneAttachment = `-A POSTROUTING -s 10.3.0.2/32 -m comment --comment "name: \"podman\" id: \"c1\"" -j CNI-e66d029a8054f32421007970
-A CNI-e66d029a8054f32421007970 -d 10.3.0.0/24 -m comment --comment "name: \"podman\" id: \"c1\"" -j ACCEPT
-A CNI-e66d029a8054f32421007970 ! -d 224.0.0.0/4 -m comment --comment "name: \"podman\" id: \"c1\"" -j MASQUERADE
`

const ipv6Attachment = `-A POSTROUTING -s fd00::2/128 -m comment --comment "name: \"podman\" id: \"c1\"" -j CNI-e66d029a8054f32421007970
-A CNI-e66d029a8054f32421007970 -d fd00::/64 -m comment --comment "name: \"podman\" id: \"c1\"" -j ACCEPT
-A CNI-e66d029a8054f32421007970 ! -d ff00::/8 -m comment --comment "name: \"podman\" id: \"c1\"" -j MASQUERADE
`

var _ = Describe("Masquerading with iptables", func() {
	ctx := context.Background()
	eth0, eth1 := owner("podman", "c1", "eth0"), owner("podman", "c1", "eth1")

	for _, variant := range []string{"nft", "legacy"} {
		Describe("of the variant "+variant, func() {
			var backend netfilter.Backend

			BeforeEach(func() {
				testutils.Need(GinkgoT(), "root", "iptables-"+variant, "ip6tables-"+variant)
				usePrograms(variant)
				var err error
				backend, err = netfilter.Select(netfilter.IPTables)
				Expect(err).NotTo(HaveOccurred())
			})

			It("writes what upstream does", inNewNS(func() {
				masquerade(backend, eth0, "10.3.0.2/24", "fd00::2/64")
				ours := natRules()
				Expect(ours).To(Equal(oneAttachment + ipv6Attachment))
				testutils.Inside(testutils.TempNS(GinkgoT()), func() {
					run(asUpstream("podman", "c1", "10.3.0.2", "24") + asUpstream("podman", "c1", "fd00::2", "64"))
					Expect(natRules()).To(Equal(ours))
				})
			}))

			It("accepts all subnets of a container before it masquerades", inNewNS(func() {
				masquerade(backend, eth0, "10.1.0.2/24", "10.2.0.2/24")
				masquerade(backend, eth1, "10.3.0.2/24")
				Expect(natRules()).To(Equal(sharedChain))
			}))

			It("changes nothing when done again", inNewNS(func() {
				masquerade(backend, eth0, "10.3.0.2/24", "fd00::2/64")
				masquerade(backend, eth0, "10.3.0.2/24", "fd00::2/64")
				Expect(natRules()).To(Equal(oneAttachment + ipv6Attachment))
			}))

			It("reports every difference", inNewNS(func() {
				chain := rulename.Chain("podman", "c1", "")
				Expect(differences(backend, eth0, "10.3.0.2/24")).To(ConsistOf("iptables: chain " + chain + " of table nat is missing"))
				masquerade(backend, eth0, "10.3.0.2/24", "fd00::2/64")
				Expect(differences(backend, eth0, "10.3.0.2/24", "fd00::2/64")).To(BeEmpty())
				run("ip6tables -t nat -F POSTROUTING; iptables -t nat -F " + chain)
				Expect(differences(backend, eth0, "10.3.0.2/24", "fd00::2/64")).To(ConsistOf(
					"iptables: chain "+chain+" of table nat: no rule accepts destination 10.3.0.0/24 ahead of MASQUERADE",
					"iptables: chain "+chain+" of table nat: the MASQUERADE rule is missing",
					"ip6tables: chain "+chain+" of table nat: POSTROUTING has no jump for source fd00::2",
				))
			}))

			It("is lost when anything is flushed", inNewNS(func() {
				lost := func() bool { return lost(backend, eth0, "10.3.0.2/24", "fd00::2/64") }
				Expect(lost()).To(BeTrue())
				chain := rulename.Chain("podman", "c1", "")
				for _, flush := range []string{"iptables -t nat -F", "ip6tables -t nat -F POSTROUTING", "iptables -t nat -F " + chain, "iptables -t nat -D " + chain + " 2"} {
					masquerade(backend, eth0, "10.3.0.2/24", "fd00::2/64")
					Expect(lost()).To(BeFalse(), flush)
					run(flush)
					Expect(lost()).To(BeTrue(), flush)
				}
				masquerade(backend, eth0, "10.3.0.2/24", "fd00::2/64")
				if variant == "nft" { // nobody has to be asked
					GinkgoT().Setenv("PATH", "")
				}
				Expect(lost()).To(BeFalse())
			}))

			It("is available", inNewNS(func() { Expect(backend.Available(ctx)).To(Succeed()) }))

			Describe("removal", func() {
				It("of one attachment leaves the other of its container intact", inNewNS(func() {
					masquerade(backend, eth0, "10.1.0.2/24", "10.2.0.2/24")
					masquerade(backend, eth1, "10.3.0.2/24")
					Expect(netfilter.RemoveMasquerade(ctx, eth0, addrs("10.1.0.2/24", "10.2.0.2/24"))).To(Succeed())
					Expect(natRules()).To(Equal(oneAttachment))
					Expect(netfilter.RemoveMasquerade(ctx, eth1, addrs("10.3.0.2/24"))).To(Succeed())
					Expect(natRules()).To(BeEmpty())
					Expect(chains()).To(BeEmpty())
				}))

				It("needs no addresses of a container that is gone", inNewNS(func() {
					masquerade(backend, eth0, "10.3.0.2/24", "fd00::2/64")
					masquerade(backend, owner("podman", "c2", "eth0"), "10.3.0.4/24")
					Expect(netfilter.PruneMasquerade(ctx, owner("podman", "c2", "eth0"), nil)).To(Succeed())
					Expect(natRules()).To(Equal(oneAttachment + ipv6Attachment))
					Expect(netfilter.PruneMasquerade(ctx, eth0, nil)).To(Succeed())
					Expect(natRules()).To(BeEmpty())
					Expect(chains()).To(BeEmpty())
				}))

				It("leaves the chain as it is without any address, for it may serve another attachment", inNewNS(func() {
					masquerade(backend, eth0, "10.3.0.2/24", "fd00::2/64")
					Expect(netfilter.RemoveMasquerade(ctx, eth1, nil)).To(Succeed())
					Expect(natRules()).To(Equal(oneAttachment + ipv6Attachment))
				}))

				It("of what no living address has any more leaves the others'", inNewNS(func() {
					masquerade(backend, eth0, "10.1.0.2/24", "10.2.0.2/24", "fd01::2/64")
					masquerade(backend, eth1, "10.3.0.2/24", "fd00::2/64")
					for range 2 {
						Expect(netfilter.PruneMasquerade(ctx, eth0, addrs("127.0.0.1/8", "10.3.0.2/24", "fe80::1/64", "fd00::2/64"))).To(Succeed())
						Expect(natRules()).To(Equal(oneAttachment + ipv6Attachment))
					}
				}))

				It("takes the shapes of upstream, that of before 2019 too", inNewNS(func() {
					script := asUpstream("podman", "c1", "10.3.0.2", "24") + asUpstream("podman", "c1", "fd00::2", "64")
					old := `iptables -t nat -A POSTROUTING -s 10.3.0.2/24 -j ` + rulename.Chain("podman", "c1", "") + ` -m comment --comment 'name: "podman" id: "c1"'`
					for _, remove := range []func() error{
						func() error { return netfilter.RemoveMasquerade(ctx, eth0, addrs("10.3.0.2/24", "fd00::2/64")) },
						func() error { return netfilter.PruneMasquerade(ctx, eth0, addrs("10.4.0.2/24")) },
					} {
						run(script + old)
						Expect(remove()).To(Succeed())
						Expect(natRules()).To(BeEmpty())
						Expect(chains()).To(BeEmpty())
					}
				}))

				It("does nothing where there is nothing", inNewNS(func() {
					Expect(netfilter.RemoveMasquerade(ctx, eth0, addrs("10.1.0.2/24"))).To(Succeed())
				}))
			})

			It("loses the containers that are gone to garbage collection", inNewNS(func() {
				masquerade(backend, eth0, "10.3.0.2/24")
				masquerade(backend, owner("podman", "c2", "eth0"), "10.3.0.4/24", "fd00::4/64")
				run(asUpstream("podman", "c3", "10.3.0.5", "24") + asUpstream("other", "c3", "10.4.0.5", "24"))
				run(`iptables -t nat -N CNI-DN-0123456789abcdef01234; iptables -t nat -A CNI-DN-0123456789abcdef01234 -m comment --comment 'dnat name: "podman" id: "c3"' -j ACCEPT`)
				Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", []types.GCAttachment{{ContainerID: "c1", IfName: "eth0"}}))).To(Succeed())
				Expect(chains()).To(ConsistOf(":"+rulename.Chain("podman", "c1", ""), ":"+rulename.Chain("other", "c3", ""), ":CNI-DN-0123456789abcdef01234"))
				Expect(natRules()).NotTo(ContainSubstring("10.3.0.4"))
				Expect(natRules()).NotTo(ContainSubstring("10.3.0.5"))
				Expect(natRules()).To(ContainSubstring("10.3.0.2"))
			}))

			It("bears parallel additions and removals", func() {
				netns := testutils.TempNS(GinkgoT())
				var all sync.WaitGroup
				for i := range 20 {
					all.Go(func() {
						defer GinkgoRecover()
						o := owner("podman", fmt.Sprintf("c%d", i), "eth0")
						address := fmt.Sprintf("10.3.1.%d/16", i)
						Expect(netns.Do(func(ns.NetNS) error {
							if err := backend.Masquerade(ctx, o, addrs(address)); err != nil {
								return err
							}
							return netfilter.RemoveMasquerade(ctx, o, addrs(address))
						})).To(Succeed())
					})
				}
				all.Wait()
				testutils.Inside(netns, func() {
					Expect(natRules()).To(BeEmpty())
					Expect(chains()).To(BeEmpty())
				})
			})
		})
	}

	It("quotes names as Go does", inNewNS(func() {
		testutils.Need(GinkgoT(), "root", "iptables-nft", "ip6tables-nft")
		usePrograms("nft")
		backend, err := netfilter.Select(netfilter.IPTables)
		Expect(err).NotTo(HaveOccurred())
		odd := owner(`a "quoted" \ name`, "c1", "eth0")
		Expect(backend.Masquerade(ctx, odd, addrs("10.3.0.2/24"))).To(Succeed())
		Expect(netfilter.GC(ctx, plugin.NewAttachments(odd.Network, nil))).To(Succeed())
		Expect(chains()).To(BeEmpty())
	}))

	It("removes what iptables-nft wrote without any program", inNewNS(func() {
		testutils.Need(GinkgoT(), "root", "iptables-nft", "ip6tables-nft")
		run(strings.NewReplacer("ip6tables", "ip6tables-nft", "iptables", "iptables-nft").Replace(
			asUpstream("podman", "c1", "10.3.0.2", "24") + asUpstream("podman", "c2", "10.3.0.3", "24") + asUpstream("podman", "c1", "fd00::2", "64")))
		path := os.Getenv("PATH")
		GinkgoT().Setenv("PATH", "")
		Expect(netfilter.PruneMasquerade(ctx, eth0, nil)).To(Succeed())
		Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", nil))).To(Succeed())
		Expect(os.Setenv("PATH", path)).To(Succeed())
		Expect(run("iptables-nft-save -t nat; ip6tables-nft-save -t nat")).NotTo(ContainSubstring("CNI-"))
	}))

	It("finds it among whatever rules others have", inNewNS(func() {
		testutils.Need(GinkgoT(), "root", "iptables-nft")
		for _, rule := range []string{
			"-m addrtype ! --src-type LOCAL --limit-iface-out -j RETURN", "-m conntrack --ctstate DNAT -j MASQUERADE",
			"-m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully", "-p tcp --dport 80 -j SNAT --to 192.0.2.1:5-6",
			"-p udp -m multiport --dports 1,2 -j MASQUERADE --to-ports 5-10", "-m statistic --mode random --probability 0.5 -j RETURN",
			"-m comment --comment x -o lo -j RETURN", "-m limit --limit 1/s -j LOG", "-s 10.3.0.0/20 -j NETMAP --to 192.0.2.0/24",
		} {
			run("iptables-nft -t nat -A POSTROUTING " + rule)
		}
		before := run("iptables-nft -t nat -S POSTROUTING")
		run(strings.ReplaceAll(asUpstream("podman", "c1", "10.3.0.2", "24"), "iptables", "iptables-nft"))
		Expect(netfilter.RemoveMasquerade(ctx, eth0, addrs("10.3.0.2/24"))).To(Succeed())
		Expect(run("iptables-nft -t nat -S POSTROUTING")).To(Equal(before))
	}))

	It("removes what iptables-legacy wrote where iptables is the other", inNewNS(func() {
		testutils.Need(GinkgoT(), "root", "iptables-legacy", "ip6tables-legacy")
		legacy := strings.NewReplacer("ip6tables", "ip6tables-legacy", "iptables", "iptables-legacy")
		run(legacy.Replace(asUpstream("podman", "c1", "10.3.0.2", "24") + asUpstream("podman", "c2", "10.3.0.3", "24") + asUpstream("podman", "c1", "fd00::2", "64")))
		Expect(netfilter.RemoveMasquerade(ctx, eth0, addrs("10.3.0.2/24", "fd00::2/64"))).To(Succeed())
		Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", nil))).To(Succeed())
		Expect(run("iptables-legacy-save -t nat; ip6tables-legacy-save -t nat")).NotTo(ContainSubstring("CNI-"))
	}))

	Describe("without the programs", func() {
		BeforeEach(func() {
			testutils.Need(GinkgoT(), "root", "nftables")
			GinkgoT().Setenv("PATH", "/nowhere")
		})

		It("says what to install", inNewNS(func() {
			backend, err := netfilter.Select(netfilter.IPTables)
			Expect(err).NotTo(HaveOccurred())
			Expect(backend.Available(ctx)).To(MatchError(ContainSubstring("iptables is not in PATH (/nowhere): install the package iptables, or choose the backend nftables")))
			Expect(backend.Masquerade(ctx, eth0, addrs("10.1.0.2/24"))).To(MatchError(ContainSubstring("iptables-restore is not in PATH")))
		}))

		It("removes what there is", inNewNS(func() {
			Expect(netfilter.RemoveMasquerade(ctx, eth0, addrs("10.1.0.2/24"))).To(Succeed())
			Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", nil))).To(Succeed())
		}))
	})

	It("says who holds the lock", inNewNS(func() {
		testutils.Need(GinkgoT(), "root", "iptables-legacy", "ip6tables-legacy")
		usePrograms("legacy")
		lock, err := os.Create(os.Getenv("XTABLES_LOCKFILE"))
		Expect(err).NotTo(HaveOccurred())
		defer lock.Close()
		Expect(unix.Flock(int(lock.Fd()), unix.LOCK_EX)).To(Succeed())
		backend, err := netfilter.Select(netfilter.IPTables)
		Expect(err).NotTo(HaveOccurred())
		Expect(backend.Masquerade(ctx, eth0, addrs("10.1.0.2/24"))).To(MatchError(MatchRegexp(`iptables-restore --noflush -w 5: \S+/lock is held by process %d \(.+\), for more than 5 s`, os.Getpid())))
	}))
})
