// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bridge

import (
	"context"
	"fmt"
	"net"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/masquerade"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/containernetworking/plugins/pkg/plugin"
	"github.com/containernetworking/plugins/pkg/testutils"
	"github.com/containernetworking/plugins/pkg/undo"
)

var _ = Describe("rules that somebody has flushed", func() {
	var (
		rig      *testrig.Rig
		one, two *testrig.Container
	)
	BeforeEach(func() {
		testutils.Need(GinkgoT(), "nft-tool", "iptables", "ip6tables")
		rig = testrig.New(Plugin, ipamPath())
		one, two = rig.Container("one"), rig.Container("two")
	})

	flush := func() {
		GinkgoHelper()
		_, err := testrig.Run(rig.Host, "nft", "flush", "ruleset")
		Expect(err).NotTo(HaveOccurred())
	}
	// byHeal and byGC put the rules back, and return whose they were or might be.
	byHeal := func(heal func(context.Context) ([]plugin.Owner, error)) func() (healed []plugin.Owner) {
		return func() (healed []plugin.Owner) {
			GinkgoHelper()
			rig.OnHost(func() {
				var err error
				healed, err = heal(context.Background())
				Expect(err).NotTo(HaveOccurred())
			})
			return healed
		}
	}
	byGC := func(config string) {
		GinkgoHelper()
		_, err := rig.Call("GC", one, testrig.Config(config[:len(config)-1]+`,"cni.dev/valid-attachments":[{"containerID":"one","ifname":"eth0"},{"containerID":"two","ifname":"eth0"}]}`))
		Expect(err).NotTo(HaveOccurred())
	}

	DescribeTable("masquerade again",
		func(backend string) {
			outside := rig.Outside([]string{"192.0.2.1/24", "2001:db8::1/64"}, []string{"192.0.2.9/24", "2001:db8::9/64"})
			config := `{"type":"bridge","bridge":"br0","isDefaultGateway":true,"ipMasq":true` + backend + `,` + rig.HostLocal("", "10.1.2.0/24", "fd00:1:2::/64") + `}`
			result := rig.Add(one, config)
			rig.Add(two, config)
			masqueraded := func(c *testrig.Container) {
				GinkgoHelper()
				Expect(testrig.Reach(c.Netns, outside, "192.0.2.9")).To(Equal("192.0.2.1"))
				Expect(testrig.Reach(c.Netns, outside, "2001:db8::9")).To(Equal("2001:db8::1"))
			}
			masqueraded(one)
			heal := byHeal(masquerade.Heal)
			Expect(heal()).To(BeEmpty())

			flush()
			Expect(rig.Check(one, config, result)).NotTo(Succeed())
			Expect(heal()).To(HaveLen(2))
			Expect(rig.Check(one, config, result)).To(Succeed())
			masqueraded(one)
			Expect(heal()).To(BeEmpty())

			flush()
			byGC(config)
			masqueraded(one)
			masqueraded(two)

			flush()
			rig.Del(one, config)
			Expect(heal()).To(ConsistOf(HaveField("ContainerID", "two")))
			rig.Del(two, config)
			Expect(heal()).To(BeEmpty())
		},
		Entry("with the default backend", ``),
		Entry("with nftables", `,"ipMasqBackend":"nftables"`),
		Entry("with iptables", `,"ipMasqBackend":"iptables"`),
	)

	DescribeTable("masquerade a flow that has begun without them",
		func(listen, server, seenAs string) {
			testutils.Need(GinkgoT(), "conntrack", "conntrack-tool")
			outside := rig.Outside([]string{"192.0.2.1/24", "2001:db8::1/64"}, []string{"192.0.2.9/24", "2001:db8::9/64"})
			config := `{"type":"bridge","bridge":"br0","isDefaultGateway":true,"ipMasq":true,` + rig.HostLocal("", "10.1.2.0/24", "fd00:1:2::/64") + `}`
			rig.Add(one, config)
			where, err := ns.Call(outside, func() (net.PacketConn, error) { return net.ListenPacket(listen, ":7") })
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(where.Close)
			seen := make(chan string, 100)
			go func() {
				buffer := make([]byte, 100)
				for {
					_, from, err := where.ReadFrom(buffer)
					if err != nil {
						return
					}
					seen <- from.(*net.UDPAddr).IP.String()
				}
			}()
			begin := func(to string) net.Conn {
				GinkgoHelper()
				flow, err := ns.Call(one.Netns, func() (net.Conn, error) { return net.Dial("udp", to) })
				Expect(err).NotTo(HaveOccurred())
				DeferCleanup(flow.Close)
				_, _ = flow.Write([]byte("x"))
				return flow
			}
			Expect(testrig.Reach(one.Netns, outside, server)).To(Equal(seenAs))
			flush()
			_, err = testrig.Run(rig.Host, "nft", "table inet host { chain forward { type filter hook prerouting priority 0; ct state new accept; }; }") // so that flows are tracked
			Expect(err).NotTo(HaveOccurred())
			flow := begin(net.JoinHostPort(server, "7"))
			Eventually(seen).Should(Receive(Not(Equal(seenAs))))
			begin("10.1.2.1:7") // the host, and another container
			begin("10.1.2.77:7")
			begin("224.0.0.1:7")
			count := func() int {
				GinkgoHelper()
				listed, err := testrig.Run(rig.Host, "conntrack", "-L", "-p", "udp", "--orig-port-dst", "7")
				Expect(err).NotTo(HaveOccurred())
				return strings.Count(listed, "dport=7 ")
			}
			before := count()
			Expect(byHeal(masquerade.Heal)()).To(HaveLen(1))
			Expect(before - count()).To(Equal(1))
			_, _ = flow.Write([]byte("x"))
			Eventually(seen).Should(Receive(Equal(seenAs)))
			rig.Del(one, config)
		},
		Entry("of IPv4", "udp4", "192.0.2.9", "192.0.2.1"),
		Entry("of IPv6", "udp6", "2001:db8::9", "2001:db8::1"),
	)

	It("are put back by the ADD of another container, with nftables", func() {
		outside := rig.Outside([]string{"192.0.2.1/24", "2001:db8::1/64"}, []string{"192.0.2.9/24", "2001:db8::9/64"})
		config := `{"type":"bridge","bridge":"br0","isDefaultGateway":true,"ipMasq":true,"ipMasqBackend":"nftables","macspoofchk":true,` + rig.HostLocal("", "10.1.2.0/24", "fd00:1:2::/64") + `}`
		result := rig.Add(one, config)
		status := func() string {
			return testrig.SaidDuring(func() { Expect(rig.Call("STATUS", one, config)).To(BeEmpty()) })
		}
		Expect(status()).To(BeEmpty())
		flush()
		Expect(status()).To(HavePrefix("bridge: masquerading was flushed, "))
		rig.Add(two, config)
		Expect(rig.Check(one, config, result)).To(Succeed())
		Expect(testrig.Reach(one.Netns, outside, "192.0.2.9")).To(Equal("192.0.2.1"))
		Expect(testrig.Reach(one.Netns, outside, "2001:db8::9")).To(Equal("2001:db8::1"))
		rig.Del(one, config)
		rig.Del(two, config)
	})

	It("are not put back for an ADD that failed, at whichever step", func() {
		config := `{"type":"bridge","bridge":"br0","isGateway":true,"ipMasq":true,"macspoofchk":true,` + rig.HostLocal("", "10.1.2.0/24") + `}`
		for at := 1; ; at++ {
			fault := &undo.Fault{At: at}
			_, err := rig.CallWith(undo.WithFault(context.Background(), fault), "ADD", one, config)
			if fault.Fired == "" {
				Expect(err).NotTo(HaveOccurred())
				break
			}
			Expect(err).To(HaveOccurred())
			Expect(byHeal(masquerade.Heal)()).To(BeEmpty(), fault.Fired)
			Expect(byHeal(Heal)()).To(BeEmpty(), fault.Fired)
		}
		rig.Del(one, config)
	})

	It("are not put back where another network has the address, and go to those who have it when that is gone", func() {
		in := func(network, bridge string) string {
			return fmt.Sprintf(`{"name":%q,"type":"bridge","bridge":%q,"isGateway":true,"ipMasq":true,"ipMasqBackend":"nftables","forceAddress":true,
				"ipam":{"type":"static","addresses":[{"address":"10.1.2.3/24"}]}}`, network, bridge)
		}
		first, second, third := in("first", "br0"), in("second", "br1"), in("third", "br2")
		holder := func() string {
			GinkgoHelper()
			set, err := testrig.Run(rig.Host, "nft", "list", "set", "ip", "cni_masquerade", "sources")
			Expect(err).NotTo(HaveOccurred())
			return set
		}
		heal := byHeal(masquerade.Heal)
		three := rig.Container("three")
		result := rig.Add(one, first)
		rig.Add(two, second)
		Expect(holder()).To(ContainSubstring("second/two"))
		Expect(heal()).To(BeEmpty())
		Expect(rig.Check(one, first, result)).To(Succeed())
		rig.Del(two, second)
		Expect(holder()).To(ContainSubstring("first/one"))
		Expect(heal()).To(BeEmpty())
		Expect(rig.Check(one, first, result)).To(Succeed())

		rig.Add(three, third)
		rig.Add(two, second)
		flush()
		Expect(heal()).To(ConsistOf(HaveField("Network", "first")))
		rig.Del(one, first)
		Expect(holder()).To(ContainSubstring("second/two"))
		rig.Del(two, second)
		Expect(holder()).To(ContainSubstring("third/three"))
		Expect(heal()).To(BeEmpty())
		rig.Del(three, third)
		Expect(holder()).NotTo(ContainSubstring("10.1.2.3"))
	})

	It("drop forged frames again with macspoofchk", func() {
		const guarded = `{"type":"bridge","bridge":"br0","macspoofchk":true}`
		forged := net.HardwareAddr{0x02, 0, 0, 0, 0, 0x66}
		result := rig.Add(one, guarded)
		rig.Add(two, guarded)
		forge := func() bool {
			_, passed := passes(one.Netns, "eth0", forged, nil, two.Netns, "eth0", absence)
			return passed
		}
		heal := byHeal(Heal)
		Expect(heal()).To(BeEmpty())
		flush()
		Expect(forge()).To(BeTrue())
		Expect(heal()).To(HaveLen(2))
		Expect(rig.Check(one, guarded, result)).To(Succeed())
		Expect(forge()).To(BeFalse())
		flush()
		byGC(guarded)
		Expect(forge()).To(BeFalse())
		rig.Del(one, guarded)
		flush()
		Expect(heal()).To(ConsistOf(HaveField("ContainerID", "two")))
		rig.Del(two, guarded)
		Expect(heal()).To(BeEmpty())
	})
})
