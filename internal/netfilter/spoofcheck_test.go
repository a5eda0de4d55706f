// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
)

const oneGuard = `table bridge cni_spoofcheck {
	set ports {
		type ifname
		elements = { "veth0" comment "podman/c1/eth0" }
	}

	set allowed {
		type ifname . ether_addr
		elements = { "veth0" . 0a:58:0a:58:00:02 comment "podman/c1/eth0" }
	}

	chain prerouting {
		type filter hook prerouting priority dstnat; policy accept;
		iifname . ether saddr @allowed accept
		iifname @ports drop
	}

	chain owner/podman/c1/eth0 {
		iifname "veth0" ether saddr 0a:58:0a:58:00:02 comment "podman/c1/eth0"
	}
}`

const noGuard = `table bridge cni_spoofcheck {
	set ports {
		type ifname
	}

	set allowed {
		type ifname . ether_addr
	}

	chain prerouting {
		type filter hook prerouting priority dstnat; policy accept;
		iifname . ether saddr @allowed accept
		iifname @ports drop
	}
}`

var _ = Describe("The MAC spoof check", func() {
	var (
		ctx = context.Background()
		c1  = owner("podman", "c1", "eth0")
		c2  = owner("podman", "c2", "eth0")
		mac = net.HardwareAddr{0x0a, 0x58, 0x0a, 0x58, 0x00, 0x02}
	)

	BeforeEach(func() { testutils.Need(GinkgoT(), "root", "nftables-bridge", "nft-tool") })

	It("writes one element and one chain for an attachment, once", inNewNS(func() {
		Expect(netfilter.GuardMAC(ctx, c1, "veth0", mac)).To(Succeed())
		Expect(netfilter.GuardMAC(ctx, c1, "veth0", mac)).To(Succeed())
		Expect(ruleset()).To(Equal(oneGuard))
		Expect(netfilter.CheckMAC(ctx, c1, "veth0", mac)).To(BeEmpty())
	}))

	It("replaces another link and another address", inNewNS(func() {
		Expect(netfilter.GuardMAC(ctx, c1, "veth1", net.HardwareAddr{2, 0, 0, 0, 0, 1})).To(Succeed())
		Expect(netfilter.GuardMAC(ctx, c1, "veth0", mac)).To(Succeed())
		Expect(ruleset()).To(Equal(oneGuard))
	}))

	It("is for Ethernet", inNewNS(func() {
		Expect(netfilter.GuardMAC(ctx, c1, "ib0", make(net.HardwareAddr, 20))).To(MatchError(ContainSubstring("of ib0 has 20 bytes, Ethernet's have 6")))
	}))

	It("reports every difference", inNewNS(func() {
		Expect(netfilter.CheckMAC(ctx, c1, "veth0", mac)).To(ConsistOf(
			"table bridge cni_spoofcheck: the rules of chain prerouting are not those that were written",
			"table bridge cni_spoofcheck: chain prerouting has no rule for set allowed",
			"table bridge cni_spoofcheck: chain owner/podman/c1/eth0 does not have the record that was written",
			"table bridge cni_spoofcheck: set allowed lacks veth0 . 0a:58:0a:58:00:02",
			"table bridge cni_spoofcheck: set ports lacks veth0",
		))
		Expect(netfilter.GuardMAC(ctx, c1, "veth0", net.HardwareAddr{2, 0, 0, 0, 0, 1})).To(Succeed())
		Expect(netfilter.CheckMAC(ctx, c1, "veth0", mac)).To(ConsistOf(
			"table bridge cni_spoofcheck: chain owner/podman/c1/eth0 does not have the record that was written",
			"table bridge cni_spoofcheck: set allowed lacks veth0 . 0a:58:0a:58:00:02",
		))
	}))

	It("is removed for its owner only", inNewNS(func() {
		Expect(netfilter.UnguardMAC(ctx, c1)).To(Succeed())
		Expect(netfilter.GuardMAC(ctx, c1, "veth0", mac)).To(Succeed())
		Expect(netfilter.GuardMAC(ctx, c2, "veth2", mac)).To(Succeed())
		Expect(netfilter.UnguardMAC(ctx, c2)).To(Succeed())
		Expect(ruleset()).To(Equal(oneGuard))
		Expect(netfilter.UnguardMAC(ctx, c1)).To(Succeed())
		Expect(ruleset()).To(Equal(noGuard))
	}))

	It("is collected with its attachment", inNewNS(func() {
		Expect(netfilter.GuardMAC(ctx, c1, "veth0", mac)).To(Succeed())
		Expect(netfilter.GuardMAC(ctx, c2, "veth2", mac)).To(Succeed())
		Expect(netfilter.GC(ctx, plugin.NewAttachments("podman", []types.GCAttachment{{ContainerID: "c1", IfName: "eth0"}}))).To(Succeed())
		Expect(ruleset()).To(Equal(oneGuard))
	}))

	It("is gone where its name in upstream's shape would be too long for the kernel", inNewNS(func() {
		long := owner("net", strings.Repeat("c", 250), "eth0")
		Expect(netfilter.UnguardMAC(context.Background(), long)).To(Succeed())
	}))

	It("is as good in the shape of upstream, if it is complete", inNewNS(func() {
		c1eth0 := oldSpoofCheck("c1-eth0", "veth0", mac.String())
		run(c1eth0 + c1eth0 + oldSpoofCheck("c2-eth0", "veth2", "02:00:00:00:00:02"))
		Expect(netfilter.CheckMAC(ctx, c1, "veth0", mac)).To(BeEmpty())
		Expect(netfilter.CheckMAC(ctx, c1, "veth2", mac)).NotTo(BeEmpty())
		Expect(netfilter.CheckMAC(ctx, c2, "veth2", mac)).NotTo(BeEmpty())
		run("nft flush chain bridge nat PREROUTING")
		Expect(netfilter.CheckMAC(ctx, c1, "veth0", mac)).To(ContainElement("table bridge cni_spoofcheck: set ports lacks veth0"))
		for _, missing := range []string{"jump", "saddr", "drop"} {
			run("nft flush ruleset;" + c1eth0)
			Expect(netfilter.CheckMAC(ctx, c1, "veth0", mac)).To(BeEmpty())
			run(fmt.Sprintf(`for chain in cni-br-iface-c1-eth0 cni-br-iface-c1-eth0-mac; do
				handle=$(nft -a list chain bridge nat $chain | sed -n 's/.*%s.*comment.*handle //p')
				test -z "$handle" || nft delete rule bridge nat $chain handle $handle
			done`, missing))
			Expect(netfilter.CheckMAC(ctx, c1, "veth0", mac)).NotTo(BeEmpty(), missing)
		}
	}))

	It("is removed in the shape of upstream", inNewNS(func() {
		run(oldSpoofCheck("c1-eth0", "vetha", "02:00:00:00:00:01") +
			oldSpoofCheck("c1-eth0", "vetha", "02:00:00:00:00:01") + // an ADD that is repeated doubles its first rule
			oldSpoofCheck("c1-eth1", "vethb", "02:00:00:00:00:02"))
		Expect(netfilter.UnguardMAC(ctx, c1)).To(Succeed())
		Expect(ruleset()).NotTo(ContainSubstring("c1-eth0"))
		Expect(ruleset()).To(ContainSubstring("c1-eth1"))
		Expect(netfilter.UnguardMAC(ctx, owner("podman", "c1", "eth1"))).To(Succeed())
		Expect(ruleset()).To(Equal("table bridge nat {\n\tchain PREROUTING {\n\t\ttype filter hook prerouting priority dstnat; policy accept;\n\t}\n}"))
	}))
})

// oldSpoofCheck returns commands that do what the bridge plugin did until 1.9.
func oldSpoofCheck(id, link, mac string) string {
	return `
nft add table bridge nat
nft 'add chain bridge nat PREROUTING { type filter hook prerouting priority -300; policy accept; }'
nft 'add chain bridge nat cni-br-iface-` + id + `'
nft 'add chain bridge nat cni-br-iface-` + id + `-mac'
nft 'flush chain bridge nat cni-br-iface-` + id + `'
nft 'flush chain bridge nat cni-br-iface-` + id + `-mac'
nft 'add rule bridge nat PREROUTING iifname "` + link + `" jump cni-br-iface-` + id + ` comment "macspoofchk-` + id + `"'
nft 'add rule bridge nat cni-br-iface-` + id + ` jump cni-br-iface-` + id + `-mac comment "macspoofchk-` + id + `"'
nft 'add rule bridge nat cni-br-iface-` + id + `-mac ether saddr ` + mac + ` return comment "macspoofchk-` + id + `"'
nft 'add rule bridge nat cni-br-iface-` + id + `-mac drop comment "macspoofchk-` + id + `"'
`
}
