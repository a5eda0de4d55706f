// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("What iptables-nft would write for the firewall", func() {
	const (
		nftPrograms = "/usr/sbin/xtables-nft-multi"

		closed     = "iptables -N CNI-ISOLATION-STAGE-1; iptables -N CNI-ISOLATION-STAGE-2; iptables -A CNI-ISOLATION-STAGE-1 -i br0 ! -o br0 -j CNI-ISOLATION-STAGE-2"
		toPolicies = `-m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)" -j CNI-ISOLATION-STAGE-1`
	)
	ctx := context.Background()
	one, two := owner("podman", "one", "eth0"), owner("podman", "two", "eth0")

	passage := func(addrs ...string) netfilter.Passage {
		p := netfilter.Passage{AdminChain: "CNI-ADMIN"}
		for _, addr := range addrs {
			p.Addrs = append(p.Addrs, netip.MustParseAddr(addr))
		}
		return p
	}
	open := func(who string, addrs ...string) error {
		GinkgoHelper()
		gate, err := netfilter.SelectGate(ctx, netfilter.IPTables)
		Expect(err).NotTo(HaveOccurred())
		return gate.Open(ctx, owner("podman", who, "eth0"), passage(addrs...))
	}
	// onlyRestore leaves of the programs iptables-restore, which is there to tell
	// which iptables it is: without iptables-save nothing can be read by programs.
	onlyRestore := func() {
		GinkgoHelper()
		dir := GinkgoT().TempDir()
		for _, name := range []string{"iptables-restore", "ip6tables-restore"} {
			Expect(os.Symlink(nftPrograms, filepath.Join(dir, name))).To(Succeed())
		}
		GinkgoT().Setenv("PATH", dir)
	}
	saved := func() string {
		GinkgoHelper()
		return run("for p in ip ip6; do /usr/sbin/${p}tables-save -t filter | /usr/bin/grep ^-A || true; done")
	}

	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "nftables", "nft-tool", "iptables")
		if _, err := os.Stat(nftPrograms); err != nil {
			Skip("iptables-nft is not there: " + err.Error())
		}
		GinkgoT().Setenv("PATH", GinkgoT().TempDir()) // iptables, whatever the host's is
		for _, name := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
			Expect(os.Symlink(nftPrograms, filepath.Join(os.Getenv("PATH"), name))).To(Succeed())
		}
		GinkgoT().Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/usr/bin:/sbin:/bin")
	})

	It("is written without it, word by word, and removed by either", inNewNS(func() {
		Expect(open("one", "10.1.0.2", "fd00::2")).To(Succeed())
		byPrograms := saved()
		path := os.Getenv("PATH")
		onlyRestore()
		Expect(open("two", "10.1.0.3", "fd00::3")).To(Succeed())
		os.Setenv("PATH", path)

		replaced := strings.NewReplacer("10.1.0.3", "10.1.0.2", "fd00::3", "fd00::2", "podman/two/", "podman/one/")
		record := func(text string) string { // of one: its hash is two's, too
			for _, line := range strings.Split(text, "\n") {
				if strings.HasPrefix(line, "-A CNI-FW-") && strings.Contains(line, "podman/one/") {
					return strings.Fields(line)[1]
				}
			}
			return ""
		}
		var ofTwo []string
		for _, line := range strings.Split(strings.TrimSpace(saved()), "\n") {
			if strings.Contains(line, "10.1.0.3") || strings.Contains(line, "fd00::3") {
				line = replaced.Replace(line)
				if words := strings.Fields(line); strings.HasPrefix(words[1], "CNI-FW-") {
					line = strings.Replace(line, words[1], record(byPrograms), 1)
				}
				ofTwo = append(ofTwo, line)
			}
		}
		var ofOne []string
		for _, line := range strings.Split(strings.TrimSpace(byPrograms), "\n") {
			if strings.Contains(line, "10.1.0.2") || strings.Contains(line, "fd00::2") {
				ofOne = append(ofOne, line)
			}
		}
		Expect(ofOne).To(HaveLen(6))
		Expect(ofTwo).To(ConsistOf(ofOne))

		gate, err := netfilter.SelectGate(ctx, netfilter.IPTables)
		Expect(err).NotTo(HaveOccurred())
		Expect(gate.Check(ctx, two, passage("10.1.0.3", "fd00::3"))).To(BeEmpty())
		Expect(open("two", "10.1.0.3", "fd00::3")).To(Succeed())
		Expect(strings.Count(saved(), "10.1.0.3")).To(Equal(3), "again changes nothing")

		// Upstream's DEL.
		run("iptables -D CNI-FORWARD -d 10.1.0.3 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
		run("iptables -D CNI-FORWARD -s 10.1.0.3 -j ACCEPT")
		run("ip6tables -D CNI-FORWARD -d fd00::3 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
		run("ip6tables -D CNI-FORWARD -s fd00::3 -j ACCEPT")
		Expect(netfilter.CloseGate(ctx, two, nil)).To(Succeed())
		Expect(saved()).To(Equal(byPrograms))
		Expect(netfilter.CloseGate(ctx, one, nil)).To(Succeed())
		Expect(saved()).NotTo(ContainSubstring("10.1.0."))
	}))

	It("is written without it beside the policies of bridges", inNewNS(func() {
		Expect(open("one", "10.1.0.2")).To(Succeed())
		run(closed + "; iptables -I FORWARD " + toPolicies)
		onlyRestore()
		Expect(open("two", "10.1.0.3")).To(Succeed())
	}))

	DescribeTable("is left to it where not just that is missing",
		func(prepare string, who string, addrs ...string) {
			testutils.Inside(testutils.TempNS(GinkgoT()), func() {
				Expect(open("one", "10.1.0.2")).To(Succeed())
				if prepare != "" {
					run(prepare)
				}
				path := os.Getenv("PATH")
				onlyRestore()
				before := strings.TrimSpace(saved())
				Expect(open(who, addrs...)).To(MatchError(ContainSubstring("iptables-save is not in PATH")))
				Expect(strings.TrimSpace(saved())).To(Equal(before))
				os.Setenv("PATH", path)
				Expect(open(who, addrs...)).To(Succeed())
				gate, err := netfilter.SelectGate(ctx, netfilter.IPTables)
				Expect(err).NotTo(HaveOccurred())
				Expect(gate.Check(ctx, owner("podman", who, "eth0"), passage(addrs...))).To(BeEmpty())
			})
		},
		Entry("the jump", "iptables -F FORWARD", "two", "10.1.0.3"),
		Entry("the jump to the admin chain", "iptables -D CNI-FORWARD 1", "two", "10.1.0.3"),
		Entry("the jump to the policies of bridges", closed, "two", "10.1.0.3"),
		Entry("that jump's place", closed+"; iptables -A FORWARD "+toPolicies, "two", "10.1.0.3"),
		Entry("an address was another's", "", "two", "10.1.0.2"),
		Entry("an address is allowed already", "iptables -A CNI-FORWARD -s 10.1.0.3 -j ACCEPT", "two", "10.1.0.3"),
		Entry("the owner has another address", "", "one", "10.1.0.3"),
	)
})
