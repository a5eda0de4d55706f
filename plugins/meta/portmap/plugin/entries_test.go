// SPDX-License-Identifier: Apache-2.0

//go:build linux

package portmap

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/containernetworking/plugins/internal/netfilter"
	"github.com/containernetworking/plugins/internal/testrig"
	"github.com/containernetworking/plugins/pkg/plugin"
)

var _ = Describe("several entries of a list", func() {
	for _, backend := range netfilter.Names() {
		Context("with "+backend, func() {
			t := try(backend, append(needs(), "nft-tool", "conntrack-tool")...)
			BeforeEach(func() { serve(t.one.Netns, "tcp", 80) })
			t.entriesThatMap()
			t.entriesInEachOthersWay()
			t.entriesWithConditions()
		})
	}
})

// literal is a configuration with mappings that are its own, not the runtime's.
func (t *trial) literal(mappings string, rest ...string) string {
	return strings.Replace(t.config(t.one, mappings, strings.Join(append([]string{t.backend}, rest...), "")), `"capabilities":{"portMappings":true},`, "", 1)
}

// leads wants ports of the host to lead to the container, by either family.
func (t *trial) leads(ports ...int) {
	GinkgoHelper()
	for _, port := range ports {
		Expect(reach(t.outside, "tcp", "192.0.2.1", port)).To(Equal("192.0.2.9"))
		Expect(reach(t.outside, "tcp", "2001:db8::1", port)).To(Equal("2001:db8::9"))
	}
}

// words are those of left, but for what packets have counted.
func (t *trial) words() []string {
	GinkgoHelper()
	return strings.Fields(counters().ReplaceAllString(t.left(), ""))
}

func (t *trial) gc(valid string) {
	GinkgoHelper()
	_, err := t.Call("GC", &testrig.Container{}, `{"cni.dev/valid-attachments":[`+valid+`]}`)
	Expect(err).NotTo(HaveOccurred())
}

func (t *trial) entriesThatMap() {
	It("map their ports, each its own, and get them back", func() {
		entries := []string{t.literal(mapping(8081, 80, "tcp"), `,"snat":false`), t.literal(mapping(8082, 80, "tcp")), t.config(t.one, "", t.backend), t.config(t.one, mapping(8083, 80, "tcp"), t.backend)}
		add := func() {
			GinkgoHelper()
			for _, config := range entries {
				t.add(t.one, config)
			}
			for _, config := range entries {
				Expect(t.check(t.one, config)).To(Succeed())
			}
			t.leads(8081, 8082, 8083)
		}
		add()
		before := t.words()
		whole := func() {
			GinkgoHelper()
			Expect(t.words()).To(ConsistOf(before))
			t.leads(8081, 8082, 8083)
		}
		t.sh("nft flush ruleset")
		t.gc(`{"containerID":"one","ifname":"eth0"}`)
		whole()
		t.sh("nft flush ruleset")
		heal := func() []plugin.Owner {
			GinkgoHelper()
			return t.Heal(func() ([]plugin.Owner, error) { return Heal(context.Background()) })
		}
		Expect(heal()).To(Equal([]plugin.Owner{ownerOf("one")}))
		Expect(heal()).To(BeEmpty())
		whole()
		add()

		By("with other mappings from the runtime")
		t.add(t.one, t.config(t.one, mapping(8084, 80, "tcp"), t.backend))
		t.leads(8081, 8082, 8084)
		Expect(t.left()).NotTo(ContainSubstring("8083"))
		t.add(t.one, t.config(t.one, "", t.backend))
		t.leads(8081, 8082)
		Expect(t.left()).NotTo(ContainSubstring("8084"))

		t.Del(t.one, entries[2])
		Expect(t.left()).To(BeEmpty())
		t.OnHost(func() { Expect(store().List()).To(BeEmpty()) })
		add()
		t.gc("")
		Expect(t.left()).To(BeEmpty())
	})

	It("leave each other's connections alone", func() {
		t.add(t.one, t.literal(mapping(8081, 81, "tcp")))
		say := t.talk(t.one.Netns, 81, "192.0.2.1", 8081)
		for _, port := range []int{8082, 8083} {
			t.add(t.one, t.config(t.one, mapping(port, 80, "tcp"), t.backend))
			say("still here")
		}
		t.Del(t.one, t.literal(""))
	})

	It("map with different backends", func() {
		other := map[string]string{`,"backend":"iptables"`: `,"backend":"nftables"`, `,"backend":"nftables"`: `,"backend":"iptables"`}[t.backend]
		first, second := t.literal(mapping(8081, 80, "tcp")), t.config(t.one, mapping(8082, 80, "tcp"), other)
		for range 2 {
			t.add(t.one, first)
			t.add(t.one, second)
			t.leads(8081, 8082)
			Expect(t.check(t.one, first)).To(Succeed())
			Expect(t.check(t.one, second)).To(Succeed())
		}
		t.sh("nft flush ruleset")
		t.gc(`{"containerID":"one","ifname":"eth0"}`)
		t.leads(8081, 8082)
		t.Del(t.one, first)
		Expect(t.left()).To(BeEmpty())
	})
}

func (t *trial) entriesInEachOthersWay() {
	It("cannot lead one port to two", func() {
		t.add(t.one, t.literal(mapping(8081, 80, "tcp")))
		before := t.left()
		_, err := t.Call("ADD", t.one, t.config(t.one, mapping(8082, 80, "tcp")+","+mapping(8081, 90, "tcp"), t.backend))
		Expect(err).To(MatchError(ContainSubstring("runtimeConfig.portMappings[1]: 8081/tcp leads to port 80 already, by another entry of the list")))
		Expect(testrig.Code(err)).To(BeEquivalentTo(types.ErrInvalidNetworkConfig))
		Expect(t.left()).To(Equal(before))
		t.add(t.one, t.config(t.one, mapping(8082, 80, "tcp")+","+mapping(8081, 80, "tcp"), t.backend))
		t.leads(8081, 8082)
		Expect(t.check(t.one, t.literal(mapping(8081, 80, "tcp")))).To(Succeed())
		t.Del(t.one, t.literal(""))
		Expect(t.left()).To(BeEmpty())
	})

	It("stay when another fails", func() {
		config := t.literal(mapping(8081, 80, "tcp"))
		t.add(t.one, config)
		t.add(t.two, t.config(t.two, mapping(9090, 90, "tcp"), t.backend))
		before := t.words()
		for range 2 {
			_, err := t.Call("ADD", t.one, t.config(t.one, mapping(8082, 80, "tcp")+","+mapping(9090, 80, "tcp"), t.backend))
			Expect(err).To(MatchError(ContainSubstring("9090/tcp is held by container two, network test")))
			Expect(t.words()).To(ConsistOf(before))
			Expect(t.check(t.one, config)).To(Succeed())
			t.leads(8081)
		}
	})

	It("do not keep what the container had with other addresses, or in another sandbox", func() {
		first, second := mapping(8081, 80, "tcp"), mapping(8082, 80, "tcp")
		t.add(t.one, t.literal(first))
		t.number[t.one] = 77
		t.add(t.one, t.config(t.one, second, t.backend))
		Expect(t.left()).NotTo(Or(ContainSubstring("8081"), ContainSubstring("10.88.0.2 ")))
		t.add(t.one, t.literal(first))
		Expect(t.left()).To(And(ContainSubstring("8081"), ContainSubstring("8082")))
		die := mortal(t.one)
		defer die()
		t.add(t.one, t.config(t.one, second, t.backend))
		Expect(t.left()).NotTo(ContainSubstring("8081"))
		t.Del(t.one, t.literal(""))
		Expect(t.left()).To(BeEmpty())
	})

	It("take the place of what is kept without the entry that it is of", func() {
		t.add(t.one, t.literal(mapping(8081, 80, "tcp")))
		t.OnHost(func() {
			i := store().Get(ownerOf("one"))
			i.Content = []byte(strings.Replace(string(i.Content), `"entry"`, `"was"`, 1))
			Expect(store().Put(*i)).To(Succeed())
		})
		Expect(t.check(t.one, t.literal(mapping(8081, 80, "tcp")))).To(Succeed())
		t.add(t.one, t.config(t.one, mapping(8082, 80, "tcp"), t.backend))
		t.leads(8082)
		Expect(t.left()).NotTo(ContainSubstring("8081"))
		t.Del(t.one, t.literal(""))
		Expect(t.left()).To(BeEmpty())
	})
}

func (t *trial) entriesWithConditions() {
	It("let in whom each says", func() {
		from := func(v4, v6 string) string {
			if strings.Contains(t.backend, netfilter.IPTables) {
				return `,"conditionsV4":["-s","` + v4 + `"],"conditionsV6":["-s","` + v6 + `"]`
			}
			return `,"conditionsV4":["ip saddr ` + v4 + `"],"conditionsV6":["ip6 saddr ` + v6 + `"]`
		}
		ports := mapping(8080, 80, "tcp")
		config := func(conditions string) string { return t.config(t.one, ports, t.backend+conditions) }
		outside, neighbours := config(from("192.0.2.0/24", "2001:db8::/64")), config(from("10.88.0.0/16", "fd88::/64"))
		for range 2 {
			t.add(t.one, outside)
			t.add(t.one, neighbours)
			t.leads(8080)
			for _, address := range []string{"192.0.2.1", "2001:db8::1"} {
				Expect(reach(t.two.Netns, "tcp", address, 8080)).NotTo(BeEmpty())
			}
			refused(t.Host, "tcp", "127.0.0.1", 8080)
			Expect(t.check(t.one, outside)).To(Succeed())
			Expect(t.check(t.one, neighbours)).To(Succeed())
			t.sh("nft flush ruleset")
			t.gc(`{"containerID":"one","ifname":"eth0"}`)
		}
		Expect(t.check(t.one, config(from("198.51.100.0/24", "2001:db8:1::/64")))).NotTo(Succeed())
		t.Del(t.one, outside)
		Expect(t.left()).To(BeEmpty())
	})
}
