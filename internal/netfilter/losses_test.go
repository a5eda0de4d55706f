// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter_test

import (
	"os/exec"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/execfile"
	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("Losses", func() {
	BeforeEach(func() { testutils.Need(GinkgoT(), "root", "nftables", "nft-tool") })

	// told returns what Next returns, each time that it does.
	told := func(own ...string) <-chan error {
		GinkgoHelper()
		losses, err := netfilter.WatchLosses(own)
		Expect(err).NotTo(HaveOccurred())
		ends := make(chan error, 100)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for err := error(nil); err == nil; {
				err = losses.Next()
				ends <- err
			}
		}()
		DeferCleanup(func() {
			losses.Close()
			Eventually(ended).Should(BeClosed())
		})
		return ends
	}
	// expectLosses tries a script that ends with a loss, so that what has not been told
	// until then was none.
	expectLosses := func(ends <-chan error, count int, script string) {
		GinkgoHelper()
		run(script + "\nnft 'add table ip cni_end; delete table ip cni_end'")
		for range count + 1 {
			Eventually(ends).Should(Receive(BeNil()), script)
		}
		Consistently(ends, "50ms").ShouldNot(Receive(), script)
	}

	It("are told whenever something of ours goes", inNewNS(func() {
		run(`nft 'table inet cni_x { set s { type ipv4_addr; elements = { 10.1.2.3, 10.1.2.4 }; }; chain c { ip saddr @s accept; ip daddr @s accept; }; }'`)
		ends := told()
		for _, script := range []string{
			"nft delete element inet cni_x s { 10.1.2.3 }",
			"nft flush set inet cni_x s",
			"nft flush chain inet cni_x c",
			"nft delete chain inet cni_x c",
			"nft delete set inet cni_x s",
			"nft flush ruleset",
		} {
			expectLosses(ends, 1, script)
		}
	}))

	It("are of the tables of iptables, too", inNewNS(func() {
		testutils.Need(GinkgoT(), "iptables")
		run(`iptables-nft -t nat -N CNI-a; iptables-nft -t nat -N OTHER; iptables-nft -t nat -A OTHER -j ACCEPT
			iptables-nft -t nat -A CNI-a -j ACCEPT; iptables-nft -t nat -A POSTROUTING -s 10.1.2.3 -j CNI-a`)
		ends := told()
		expectLosses(ends, 0, "iptables-nft -t nat -F OTHER")
		expectLosses(ends, 1, "iptables-nft -t nat -F CNI-a")
		expectLosses(ends, 1, "iptables-nft -t nat -D POSTROUTING -s 10.1.2.3 -j CNI-a")
		expectLosses(ends, 1, "nft delete table ip nat")
	}))

	It("are not what is added, what others have, and what the plugins remove", inNewNS(func() {
		nft, err := exec.LookPath("nft")
		Expect(err).NotTo(HaveOccurred())
		portmap := GinkgoT().TempDir() + "/portmap"
		Expect(execfile.Copy(nft, portmap)).To(Succeed())
		ends := told("bridge", "portmap")
		for _, script := range []string{
			"nft 'table inet cni_x { set s { type ipv4_addr; elements = { 10.1.2.3 }; }; }'",
			portmap + " delete element inet cni_x s { 10.1.2.3 }",
			portmap + " 'add table inet cni_x_probe; delete table inet cni_x_probe'",
			"nft 'table inet x { chain c { accept; }; }'",
			"nft flush chain inet x c",
			"nft delete table inet x",
		} {
			expectLosses(ends, 0, script)
		}
		expectLosses(ends, 1, portmap+" flush ruleset") // as a script of that name would
	}))

	It("may be more than there is memory for", inNewNS(func() {
		losses, err := netfilter.WatchLosses(nil)
		Expect(err).NotTo(HaveOccurred())
		defer losses.Close()
		run(`nft 'add table inet x; add chain inet x c'
			cd ` + GinkgoT().TempDir() + `
			{ seq -f 'add rule inet x c tcp dport %.0f accept comment "0123456789012345678901234567890123456789"' 1 4000; echo 'flush chain inet x c'; } >rules
			nft -f rules`)
		defer time.AfterFunc(10*time.Second, losses.Close).Stop()
		Expect(losses.Next()).To(Succeed(), "nobody knows whose they were")
	}))
})
