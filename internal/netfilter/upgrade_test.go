// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

// oldNFTMasquerade writes what the plugins did up to version 1.9 with nftables,
// for podman/one/eth0 and podman/two/eth0 and other/one/eth0.
const oldNFTMasquerade = `
nft 'add table inet cni_plugins_masquerade { comment "Masquerading for plugins from github.com/containernetworking/plugins" ; }'
nft 'add chain inet cni_plugins_masquerade masq_checks { comment "Masquerade traffic from certain IPs to any (non-multicast) IP outside their subnet" ; }'
nft 'add chain inet cni_plugins_masquerade postrouting { type nat hook postrouting priority 100 ; }'
nft 'flush chain inet cni_plugins_masquerade postrouting'
nft 'add rule inet cni_plugins_masquerade postrouting ip daddr == 224.0.0.0/4 return'
nft 'add rule inet cni_plugins_masquerade postrouting ip6 daddr == ff00::/8 return'
nft 'add rule inet cni_plugins_masquerade postrouting goto masq_checks'
rule() { nft "add rule inet cni_plugins_masquerade masq_checks $1 masquerade comment \"$(hash $2)-$(hash eth0:$3), net: $2, if: eth0, id: $3\""; }
hash() { printf %s "$1" | sha512sum | cut -c1-16; }
rule 'ip saddr == 10.1.0.2 ip daddr != 10.1.0.0/24' podman one
rule 'ip6 saddr == fd00::2 ip6 daddr != fd00::/64' podman one
rule 'ip saddr == 10.1.0.3 ip daddr != 10.1.0.0/24' podman two
rule 'ip saddr == 10.2.0.2 ip daddr != 10.2.0.0/24' other one
`

var _ = Describe("After an upgrade", func() {
	ctx := context.Background()

	BeforeEach(func() { testutils.Need(GinkgoT(), "root", "nftables", "nft-tool") })

	It("the nftables rules of the old version are removed with their owner", inNewNS(func() {
		run(oldNFTMasquerade)
		Expect(netfilter.RemoveMasquerade(ctx, owner("podman", "one", "eth0"), nil)).To(Succeed())
		Expect(ruleset()).NotTo(ContainSubstring("net: podman, if: eth0, id: one"))
		Expect(ruleset()).To(ContainSubstring("net: podman, if: eth0, id: two"))
		Expect(ruleset()).To(ContainSubstring("net: other, if: eth0, id: one"))
	}))

	It("they are as good as our own, if they are complete", inNewNS(func() {
		backend, err := netfilter.Select(netfilter.NFTables)
		Expect(err).NotTo(HaveOccurred())
		good := func(container string, list ...string) bool {
			GinkgoHelper()
			differences, err := backend.CheckMasquerade(ctx, owner("podman", container, "eth0"), addrs(list...))
			Expect(err).NotTo(HaveOccurred())
			return len(differences) == 0
		}
		run(oldNFTMasquerade + "rule 'ip saddr == 10.1.16.4 ip daddr != 10.1.16.0/20' podman three")
		Expect(good("one", "10.1.0.2/24", "fd00::2/64")).To(BeTrue())
		Expect(good("three", "10.1.16.4/20")).To(BeTrue())

		Expect(good("one", "10.1.0.2/24", "10.1.0.9/24")).To(BeFalse(), "another address")
		Expect(good("one", "10.1.0.2/16")).To(BeFalse(), "another subnet")
		Expect(good("two", "10.1.0.2/24")).To(BeFalse(), "another owner")
		run("nft insert rule inet cni_plugins_masquerade postrouting handle $(nft -a list chain inet cni_plugins_masquerade postrouting | sed -n 's/.*goto.*handle //p') accept")
		run("nft delete rule inet cni_plugins_masquerade postrouting handle $(nft -a list chain inet cni_plugins_masquerade postrouting | sed -n 's/.*ff00.*handle //p')")
		Expect(good("one", "fd00::2/64")).To(BeFalse(), "IPv6 multicast")
		Expect(good("one", "10.1.0.2/24")).To(BeFalse(), "a rule ahead of those")
		run("nft flush chain inet cni_plugins_masquerade postrouting")
		Expect(good("one", "10.1.0.2/24")).To(BeFalse(), "nothing leads there")
	}))

	It("they are collected with their network", inNewNS(func() {
		run(oldNFTMasquerade)
		Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", []types.GCAttachment{{ContainerID: "two", IfName: "eth0"}}))).To(Succeed())
		Expect(ruleset()).NotTo(ContainSubstring("net: podman, if: eth0, id: one"))
		Expect(ruleset()).To(ContainSubstring("net: podman, if: eth0, id: two"))
		Expect(ruleset()).To(ContainSubstring("net: other, if: eth0, id: one"))
		Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", nil))).To(Succeed())
		Expect(netfilter.GC(ctx, plugin.NewAttachments("other", nil))).To(Succeed())
		Expect(ruleset()).NotTo(ContainSubstring("net:"))
	}))

	It("iptables is not started where it has nothing to remove", inNewNS(func() {
		testutils.Need(GinkgoT(), "iptables-legacy", "ip6tables-legacy", "iptables-nft")
		run("iptables-legacy -t nat -N CNI-somebody-elses; ip6tables-legacy -t nat -L -n; iptables-nft -t nat -N CNI-somebody-elses")
		dir := GinkgoT().TempDir()
		started := filepath.Join(dir, "started")
		for _, name := range []string{"iptables", "ip6tables"} {
			for _, which := range []string{"", "-save", "-restore", "-legacy", "-legacy-save", "-legacy-restore"} {
				Expect(os.WriteFile(filepath.Join(dir, name+which), []byte("#!/bin/sh\necho $0 >> "+started+"\n"), 0o755)).To(Succeed())
			}
		}
		GinkgoT().Setenv("PATH", dir)
		Expect(netfilter.RemoveMasquerade(ctx, owner("podman", "one", "eth0"), addrs("10.1.0.2/24", "fd00::2/64"))).To(Succeed())
		Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", nil))).To(Succeed())
		Expect(started).NotTo(BeAnExistingFile())
	}))
})

var _ = Describe("Select", func() {
	It("knows the backends by name", func() {
		for _, name := range netfilter.Names() {
			backend, err := netfilter.Select(name)
			Expect(err).NotTo(HaveOccurred())
			Expect(backend.Name()).To(Equal(name))
		}
	})

	It("prefers nftables", inNewNS(func() {
		testutils.Need(GinkgoT(), "root", "nftables")
		backend, err := netfilter.Select("")
		Expect(err).NotTo(HaveOccurred())
		Expect(backend.Name()).To(Equal("nftables"))
	}))

	It("refuses other names", func() {
		_, err := netfilter.Select("foo")
		Expect(err).To(MatchError(`"foo" is not one of nftables, iptables`))
	})
})
