// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/testutils"
)

var _ = Describe("several networks", func() {
	for _, backend := range netfilter.Names() {
		Context("with "+backend, func() { networksWith(fmt.Sprintf(`,"backend":%q`, backend)) })
	}
})

func networksWith(backend string) {
	var (
		l                *lab
		one, other, late *testrig.Container
	)
	BeforeEach(func() {
		testutils.Need(GinkgoT(), append(needs(), "nft-tool")...)
		l = newLab()
		one, late = l.attach("one"), l.attach("late")
		second := *one
		other = &second
		other.IfName = "eth1"
		l.number[other] = 77
		within(one.Netns, "ip addr add 10.88.0.77/16 dev eth0")
		serve(one.Netns, "tcp", 80)
		serve(one.Netns, "tcp", 81)
	})
	in := func(network string, c *testrig.Container, mappings string) string {
		config := strings.Replace(l.config(c, mappings, backend), `"test"`, fmt.Sprintf("%q", network), 1)
		return strings.ReplaceAll(config, `"eth0"`, fmt.Sprintf("%q", c.IfName))
	}
	left := func() string {
		GinkgoHelper()
		return l.sh("nft list ruleset 2>/dev/null | grep -E '10.88.0|fd88::|CNI-DN|one' || true")
	}

	for _, network := range []string{"test", "other"} {
		It("of a container, or one twice, lead a port to the first, and then to the next: "+network, func() {
			first, next := in("test", one, mapping(8080, 80, "tcp")), in(network, other, mapping(8080, 81, "tcp")+","+mapping(8081, 81, "tcp"))
			leadsTo := func(address string) {
				GinkgoHelper()
				Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
				Expect(l.sh("conntrack -L -p tcp --orig-port-dst 8080 2>/dev/null; conntrack -F 2>/dev/null")).To(ContainSubstring("src=" + address + " "))
			}
			l.add(one, first)
			l.add(other, next)
			leadsTo(l.v4(one))
			l.add(other, next)
			leadsTo(l.v4(one))
			Expect(l.check(one, first)).To(Succeed())
			Expect(l.check(other, next)).To(Succeed())
			_, err := l.Call("ADD", late, in("test", late, mapping(8080, 80, "tcp")))
			Expect(err).To(MatchError(ContainSubstring("8080/tcp is held by container one, network ")))
			l.Del(one, first)
			leadsTo(l.v4(other))
			Expect(l.check(other, next)).To(Succeed())
			l.Del(other, next)
			Expect(left()).To(BeEmpty())
		})
	}

	It("of a container lead a port to the next also when the first has another backend", func() {
		l.add(one, l.config(one, mapping(8080, 80, "tcp"), backend))
		opposite := map[string]string{"nftables": "iptables", "iptables": "nftables"}[strings.Split(backend, `"`)[3]]
		next := strings.Replace(in("other", other, mapping(8080, 80, "tcp")), backend, fmt.Sprintf(`,"backend":%q`, opposite), 1)
		l.add(other, next)
		Expect(l.check(other, next)).To(Succeed())
		l.Del(one, l.config(one, mapping(8080, 80, "tcp"), backend))
		Expect(l.check(other, next)).To(Succeed())
		Expect(reach(l.outside, "tcp", "192.0.2.1", 8080)).To(Equal("192.0.2.9"))
	})

	Context("with the same addresses", func() {
		var first, second string
		BeforeEach(func() {
			l.number[late] = l.number[one]
			first, second = in("test", one, mapping(8080, 80, "tcp")), in("other", late, mapping(9090, 80, "tcp"))
			l.add(one, first)
			l.add(late, second)
		})
		// leads tells that a port leads to the container, for others and for itself.
		leads := func(c *testrig.Container, config string, port int) {
			GinkgoHelper()
			Expect(l.check(c, config)).To(Succeed())
			Expect(reach(l.outside, "tcp", "192.0.2.1", port)).To(Equal("192.0.2.9"))
			Expect(reach(one.Netns, "tcp", "10.88.0.1", port)).To(Equal("10.88.0.1"))
			Expect(reach(one.Netns, "tcp", "fd88::1", port)).To(Equal("fd88::1"))
		}
		bothLead := func() {
			GinkgoHelper()
			leads(one, first, 8080)
			leads(late, second, 9090)
		}

		It("do not take each other's ports", func() {
			bothLead()
			l.Del(late, second)
			leads(one, first, 8080)
			l.Del(one, first)
			Expect(left()).To(BeEmpty())
		})

		It("do not need each other", func() {
			l.Del(one, first)
			leads(late, second, 9090)
			l.add(one, first)
			l.add(late, second)
			bothLead()
			l.Del(late, second)
			leads(one, first, 8080)
			l.Del(one, first)
			Expect(left()).To(BeEmpty())
		})

		It("lose nothing when GC collects the other", func() {
			_, err := l.Call("GC", &testrig.Container{}, `{"cni.dev/valid-attachments":[]}`)
			Expect(err).NotTo(HaveOccurred())
			Expect(left()).NotTo(ContainSubstring("test"))
			leads(late, second, 9090)
			l.Del(late, second)
			Expect(left()).To(BeEmpty())
		})

		It("are healed, each for itself", func() {
			l.sh("nft flush ruleset")
			l.OnHost(func() { Expect(Heal(context.Background())).To(HaveLen(2)) })
			bothLead()
			l.Del(late, second) // the first to be healed
			leads(one, first, 8080)
		})

		It("lose nothing to who evicts one that is gone", func() {
			l.Del(one, first)
			die := mortal(one)
			first = in("test", one, mapping(8080, 80, "tcp"))
			l.add(one, first)
			die()
			next := l.attach("next")
			third := in("third", next, mapping(8080, 80, "tcp"))
			l.add(next, third)
			Expect(left()).NotTo(ContainSubstring("one"))
			leads(late, second, 9090)
			l.Del(next, third)
			l.Del(late, second)
			Expect(left()).To(BeEmpty())
		})

		It("shared the elements that masquerade, until GC gives each its own", func() {
			if !strings.Contains(backend, netfilter.NFTables) {
				Skip("is about nftables")
			}
			l.sh(`for family in ip ip6; do
				for set in $(nft list table $family cni_portmap | sed -nE 's/^\tset (sources[0-9]+-[^ ]*) .*/\1/p'); do nft flush set $family cni_portmap $set; done
			done`)
			Expect(l.check(late, second)).To(MatchError(ContainSubstring("the masquerading in set sources")))
			_, err := l.Call("GC", &testrig.Container{}, `{"name":"other","cni.dev/valid-attachments":[{"containerID":"late","ifname":"eth0"}]}`)
			Expect(err).NotTo(HaveOccurred())
			bothLead()
			l.Del(one, first)
			leads(late, second, 9090)
		})
	})
}
