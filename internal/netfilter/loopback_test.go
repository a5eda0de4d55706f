// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("The loopback guard of a kernel without nf_tables", func() {
	It("is in table raw, once, ahead of what is there", func() {
		testutils.Need(GinkgoT(), "root", "iptables-legacy")
		ctx := context.Background()
		host := testutils.TempNS(GinkgoT())
		legacy := families()[0].legacy()
		onHost := func(f func()) {
			GinkgoHelper()
			Expect(host.Do(func(ns.NetNS) error { f(); return nil })).To(Succeed())
		}
		rules := func() string {
			GinkgoHelper()
			text, err := testrig.Run(host, "iptables-legacy", "-t", "raw", "-S", "PREROUTING")
			Expect(err).NotTo(HaveOccurred())
			return text
		}
		_, err := testrig.Run(host, "iptables-legacy", "-t", "raw", "-A", "PREROUTING", "-i", "eth0", "-j", "ACCEPT")
		Expect(err).NotTo(HaveOccurred())
		onHost(func() { Expect(legacy.loopbackGuarded(ctx, "cni0")).To(BeFalse()) })
		for range 2 {
			onHost(func() {
				Expect(legacy.guardLoopback(ctx, "cni0")).To(Succeed())
				Expect(legacy.loopbackGuarded(ctx, "cni0")).To(BeTrue())
				Expect(legacy.loopbackGuarded(ctx, "cni1")).To(BeFalse())
			})
			Expect(rules()).To(Equal("-P PREROUTING ACCEPT\n-A PREROUTING -d 127.0.0.0/8 -i cni0 -j DROP\n-A PREROUTING -s 127.0.0.0/8 -i cni0 -j DROP\n-A PREROUTING -i eth0 -j ACCEPT\n"))
		}
	})
})
