// SPDX-License-Identifier: Apache-2.0

//go:build linux

package netfilter

import (
	"context"
	"fmt"
	"regexp"
	"strings"

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

	It("goes with the device", func() {
		testutils.Need(GinkgoT(), "root", "iptables-legacy")
		ctx := context.Background()
		host := testutils.TempNS(GinkgoT())
		legacy := families()[0].legacy()
		sh := func(name string, args ...string) string {
			GinkgoHelper()
			text, err := testrig.Run(host, name, args...)
			Expect(err).NotTo(HaveOccurred())
			return text
		}
		rules := func() string { return sh("iptables-legacy", "-t", "raw", "-S", "PREROUTING") }
		onHost := func(f func() error) {
			GinkgoHelper()
			Expect(host.Do(func(ns.NetNS) error { return f() })).To(Succeed())
		}
		sh("ip", "link", "add", "cni0", "type", "bridge")
		sh("iptables-legacy", "-t", "raw", "-A", "PREROUTING", "-i", "ppp0", "-s", "127.0.0.0/8", "-j", "DROP")
		onHost(func() error { return legacy.guardLoopback(ctx, "cni0") })
		before := rules()
		for _, forget := range []func() error{
			func() error { return legacy.guardLoopback(ctx, "cni0") },
			func() error { return legacy.forgetGoneDevices(ctx) },
		} {
			onHost(func() error { return legacy.guardLoopback(ctx, "gone") })
			Expect(rules()).NotTo(Equal(before))
			sh("iptables-legacy", "-t", "raw", "-D", "PREROUTING", "-i", "cni0", "-s", "127.0.0.0/8", "-j", "DROP")
			onHost(func() error { return legacy.guardLoopback(ctx, "cni0") })
			onHost(forget)
			Expect(strings.Split(rules(), "\n")).To(ConsistOf(strings.Split(before, "\n")))
		}
	})
})

var _ = Describe("The loopback guard", func() {
	var host ns.NetNS
	ctx := context.Background()
	sh := func(name string, args ...string) string {
		GinkgoHelper()
		text, err := testrig.Run(host, name, args...)
		Expect(err).NotTo(HaveOccurred())
		return text
	}
	onHost := func(f func() error) {
		GinkgoHelper()
		Expect(host.Do(func(ns.NetNS) error { return f() })).To(Succeed())
	}
	guard := func(device string) { onHost(func() error { return GuardLoopback(ctx, device) }) }
	guarded := func() []string {
		GinkgoHelper()
		return regexp.MustCompile(`"\w+"`).FindAllString(sh("nft", "list", "set", "ip", "cni_loopback", "opened"), -1)
	}
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "root", "nftables", "nft-tool")
		host = testutils.TempNS(GinkgoT())
		sh("ip", "link", "add", "cni0", "type", "bridge")
		guard("cni0")
	})

	It("forgets devices that are gone, when many are and when GC comes", func() {
		for n := range 40 {
			guard(fmt.Sprint("gone", n))
		}
		Expect(len(guarded())).To(And(BeNumerically(">=", 2), BeNumerically("<", 20)))
		onHost(func() error { return DropUnused(ctx) })
		Expect(guarded()).To(ConsistOf(`"cni0"`))
		onHost(func() error {
			Expect(LoopbackGuarded(ctx, "cni0")).To(BeTrue())
			return nil
		})
	})

	It("remembers them where each device has route_localnet from the start", func() {
		guard("gone")
		sh("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/default/route_localnet")
		onHost(func() error { return DropUnused(ctx) })
		Expect(guarded()).To(ConsistOf(`"cni0"`, `"gone"`))
	})
})
